"""Write dropped updates of scatters to a spare place, and index scatters with 32 bits.

Indices that are in bounds by their making (`lowering.stablehlo.bounds`) need no spare place.
"""

from __future__ import annotations

from math import prod
from typing import Any

from lowering.ir.types import DType
from lowering.stablehlo.bounds import interval
from lowering.stablehlo.hlo import ir, stablehlo
from lowering.stablehlo.passes.parsed import ParsedModule
from lowering.stablehlo.passes.rewrite import cx, everywhere, maker
from lowering.stablehlo.recovered_sizes import without_stamps
from lowering.stablehlo.size_questions import surely_less
from lowering.stablehlo.value import Value, tensor_type


def rewrite(parsed: ParsedModule) -> None:
    for op in everywhere(parsed.block):
        if op.operation.name == "stablehlo.scatter":
            _rewrite(op)


def _rewrite(op: Any) -> None:
    numbers = stablehlo.ScatterDimensionNumbers(op.scatter_dimension_numbers)
    axes = list(numbers.scattered_dims_to_operand_dims)
    count = (len(op.operation.operands) - 1) // 2
    shape = Value(op.operation.operands[0]).shape
    window = _window(numbers, shape, Value(op.operation.operands[count + 1]).shape)
    last = [shape[axis] - window[axis] for axis in axes]
    if not prod(shape) or any(surely_less(place, 0) for place in last):
        return
    if not _in_bounds(op.operation.operands[count], numbers.index_vector_dim, last):
        with ir.InsertionPoint(op), op.operation.location:
            op = _with_spare_place(op, count, axes, window, last, numbers.index_vector_dim)
        shape = Value(op.operation.operands[0]).shape
    indices = Value(op.operation.operands[count])
    if indices.dtype.itemsize == 8 and all(surely_less(size, 1 << 31) for size in shape):
        with ir.InsertionPoint(op), op.operation.location:
            op.operation.operands[count] = cx.convert(indices, DType.INT32).ir


def _window(numbers: Any, shape: tuple[int, ...], updates: tuple[int, ...]) -> list[int]:
    """The size of what one index writes, along each axis of the operand."""
    single = {*numbers.inserted_window_dims, *numbers.input_batching_dims}
    sizes = iter(updates[axis] for axis in numbers.update_window_dims)
    return [1 if axis in single else next(sizes) for axis in range(len(shape))]


def _in_bounds(indices: ir.Value, vector: int, last: list[int]) -> bool:
    """Whether each number of each index lies between 0 and the last place where a window fits."""
    joined = maker(indices, "stablehlo.concatenate")
    columns = [indices] * len(last)
    if joined is not None and joined.dimension.value == vector and len(joined.operands) == len(last):
        columns = list(joined.operands)
    found = [interval(column) for column in columns]
    return all(
        known.low >= 0 and surely_less(known.high, most + 1) for known, most in zip(found, last, strict=True)
    )


def _with_spare_place(
    op: Any, count: int, axes: list[int], window: list[int], last: list[int], vector: int
) -> Any:
    """The scatter to an operand with room for one window more along the first axis that is indexed."""
    # Numbers of 64 bits hold all bounds; the largest ones without a sign become negative.
    indices = cx.convert(Value(op.operation.operands[count]), DType.INT64)
    if vector == indices.rank:
        indices = cx.unsqueeze(indices, vector)
    numbers = [cx.slice_axis(indices, vector, at, at + 1) for at in range(len(axes))]
    inside = [(number >= 0) & (number <= most) for number, most in zip(numbers, last, strict=True)]
    kept = inside[0]
    for other in inside[1:]:
        kept = kept & other
    size = Value(op.operation.operands[0]).shape[axes[0]]
    safe = [cx.select(kept, number, size if not at else 0) for at, number in enumerate(numbers)]
    joined = cx.reshape(cx.concatenate(safe, vector), Value(op.operation.operands[count]).shape)
    rank = len(window)
    high = [window[axis] if axis == axes[0] else 0 for axis in range(rank)]
    wide = [cx.pad(Value(op.operation.operands[at]), [0] * rank, high) for at in range(count)]
    made = op.operation.clone()
    without_stamps(made)
    made.operands[count] = joined.ir
    for at, operand in enumerate(wide):
        made.operands[at] = operand.ir
        made.results[at].set_type(tensor_type(operand.dtype, operand.shape))
    # All dropped updates share the spare place, which lies behind all others.
    for promise in ("unique_indices", "indices_are_sorted"):
        made.attributes[promise] = ir.BoolAttr.get(False)
    for old, new in zip(op.operation.results, made.results, strict=True):
        old.replace_all_uses_with(cx.slice(Value(new), [0] * rank, Value(old).shape).ir)
    op.operation.erase()
    return made.opview
