"""Spell gathers whose sizes a call says as selections along one axis, or with sizes that are an operand."""

from __future__ import annotations

from typing import Any

from lowering.ir.types import DType
from lowering.stablehlo import hlo
from lowering.stablehlo.hlo import ir, stablehlo
from lowering.stablehlo.passes.parsed_dynamic import ParsedDynamic, is_dynamic, refused
from lowering.stablehlo.passes.rewrite import clamped, cx, everywhere, replace, selected
from lowering.stablehlo.size_questions import same_size
from lowering.stablehlo.size_values import sizes_tensor
from lowering.stablehlo.symbolic import any_symbolic
from lowering.stablehlo.value import Value, tensor_type


def rewrite(parsed: ParsedDynamic) -> None:
    for op in everywhere(parsed.block):
        name = op.operation.name
        if name not in ("stablehlo.gather", "stablehlo.dynamic_gather"):
            continue
        if not is_dynamic(op.operation.results[0]) and not is_dynamic(op.operation.operands[0]):
            continue
        given = op.operation.operands[2] if name == "stablehlo.dynamic_gather" else None
        window = list(op.slice_sizes) if given is None else parsed.sizes.numbers(given)
        with ir.InsertionPoint(op), op.operation.location:
            _rewrite(op, window)


def _rewrite(op: Any, window: list[int]) -> None:
    numbers = stablehlo.GatherDimensionNumbers(op.dimension_numbers)
    value, indices, result = (Value(v) for v in (*list(op.operation.operands)[:2], op.operation.results[0]))
    if not any_symbolic(window):
        is_column = numbers.index_vector_dim == indices.rank - 1 and not any_symbolic(indices.shape[-1:])
        if op.operation.name == "stablehlo.gather" and is_column and indices.shape[-1] == 1:
            type_ = tensor_type(result.dtype, result.shape)
            given = sizes_tensor(window)
            made = hlo.dynamic_gather(type_, value.ir, indices.ir, given, op.dimension_numbers)
            replace(op, Value(made, result.shape))
        return
    axis = _sliced_axis(numbers, value, indices, window)
    if axis is not None:
        places = _places(numbers, indices, axis, window[axis], value.shape[axis])
        replace(op, selected(value, places, axis))
        return
    axis = _selected_axis(numbers, value, indices, window)
    if axis is None:
        raise refused(op.operation, f"windows of {window} from {list(value.shape)}")
    places = cx.convert(cx.reshape(indices, indices.shape[:-1]), DType.INT64)
    replace(op, selected(value, clamped(places, value.shape[axis] - 1), axis))


def _sliced_axis(numbers: Any, value: Value, indices: Value, window: list[int]) -> int | None:
    """The axis of a gather of one window, which has all of each other axis."""
    parts = [axis for axis, size in enumerate(value.shape) if not same_size(size, window[axis])]
    plain = indices.rank == 1 and not list(numbers.collapsed_slice_dims)
    is_one = plain and len(parts) == 1 and parts[0] in list(numbers.start_index_map)
    return parts[0] if is_one and not list(numbers.operand_batching_dims) else None


def _places(numbers: Any, indices: Value, axis: int, count: int, size: int) -> Value:
    """The places of a slice of `count` from an axis of `size`, which begins where all of it fits."""
    at = list(numbers.start_index_map).index(axis)
    start = cx.convert(cx.reshape(cx.slice_axis(indices, 0, at, at + 1), ()), DType.INT64)
    return cx.iota(DType.INT64, (count,), 0) + cx.broadcast(clamped(start, size - count), (count,))


def _selected_axis(numbers: Any, value: Value, indices: Value, window: list[int]) -> int | None:
    """The axis of a gather that selects whole slices along it, in the order of `torch.index_select`."""
    starts = list(numbers.start_index_map)
    if len(starts) != 1 or list(numbers.collapsed_slice_dims) != starts or indices.rank < 1:
        return None
    (axis,) = starts
    rank = indices.rank
    whole = all(a == axis or same_size(size, window[a]) for a, size in enumerate(value.shape))
    offset = [*range(axis), *range(axis + rank - 1, value.rank + rank - 2)]
    plain = numbers.index_vector_dim == rank - 1 and not list(numbers.operand_batching_dims)
    return axis if whole and plain and list(numbers.offset_dims) == offset else None
