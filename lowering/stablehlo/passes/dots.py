"""Products: the orientation of weights, products of one row, axes that vectors do not divide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lowering.stablehlo.hlo import func, ir, stablehlo
from lowering.stablehlo.passes.rewrite import cx, permuted, replace, rests_on
from lowering.stablehlo.value import Value


def _rewrite(entry: func.FuncOp, rewrite: Callable[[Any], Value | None]) -> None:
    """Let what a rewrite makes of a product stand for it, for all products; None leaves one as it is."""
    for op in list(entry.entry_block.operations):
        if op.operation.name != "stablehlo.dot_general":
            continue
        with ir.InsertionPoint(op), op.location:
            made = rewrite(op)
            if made is not None:
                replace(op, made)


def weights_in_out(entry: func.FuncOp, weights: set[ir.Value]) -> None:
    """Weights [out, in] of products become [in, out], once, but those of halves: XLA's dots want them so."""
    _rewrite(entry, lambda op: _turned(op, weights))


def _turned(op: Any, weights: set[ir.Value]) -> Value | None:
    numbers = stablehlo.DotDimensionNumbers(op.dot_dimension_numbers)
    weight = Value(op.rhs)
    plain = not list(numbers.rhs_batching_dimensions) and weight.rank == 2 and not weight.dtype.is_half
    if not plain or list(numbers.rhs_contracting_dimensions) != [1] or not rests_on(op.rhs, weights):
        return None
    contract = (list(numbers.lhs_contracting_dimensions), [0])
    return cx.dot_general(Value(op.lhs), permuted(weight, (1, 0)), contract, out=Value(op.result).dtype)


def pad_rows(entry: func.FuncOp) -> None:
    """One row of halves times a matrix, as two rows of which the first is kept.

    XLA converts the whole matrix to float32 for a product of one row, each time it is called.
    """
    _rewrite(entry, _padded)


def _padded(op: Any) -> Value | None:
    numbers = stablehlo.DotDimensionNumbers(op.dot_dimension_numbers)
    left, right, result = Value(op.lhs), Value(op.rhs), Value(op.result)
    contract = (list(numbers.lhs_contracting_dimensions), list(numbers.rhs_contracting_dimensions))
    batch = list(numbers.lhs_batching_dimensions)
    if not left.dtype.is_half or batch or right.rank != 2 or contract[0] != [left.rank - 1]:
        return None
    if left.size != left.shape[-1] or not left.size:
        return None
    rows = cx.reshape(left, (1, left.shape[-1]))
    both = cx.pad(rows, (0, 0), (1, 0))
    product = cx.dot_general(both, right, ([1], contract[1]), out=result.dtype)
    return cx.reshape(cx.slice_axis(product, 0, 0, 1), result.shape)


# IREE's products with batch axes take vectors of this many elements, and single ones where it does not divide
# an axis: 12 times 197x64 by 64x197 took 6.4 ms, and take 0.3 as 208x64 by 64x208.
_EVEN = 16


def even_batches(entry: func.FuncOp, weights: set[ir.Value]) -> None:
    """Products with batch axes get axes that vectors divide: zeros are added, what they made is cut off."""
    _rewrite(entry, lambda op: None if {op.lhs, op.rhs} & weights else _even(op))


def _even(op: Any) -> Value | None:
    numbers = stablehlo.DotDimensionNumbers(op.dot_dimension_numbers)
    batch = (list(numbers.lhs_batching_dimensions), list(numbers.rhs_batching_dimensions))
    contract = (list(numbers.lhs_contracting_dimensions), list(numbers.rhs_contracting_dimensions))
    operands = (Value(op.lhs), Value(op.rhs))
    if not batch[0] or not all(value.dtype.is_floating for value in operands):
        return None
    left, right = (_evened(value, kept) for value, kept in zip(operands, batch, strict=True))
    if (left.shape, right.shape) == (operands[0].shape, operands[1].shape):
        return None
    result = Value(op.result)
    product = cx.dot_general(left, right, contract, batch, out=result.dtype)
    return cx.slice(product, [0] * result.rank, result.shape)


def _evened(value: Value, batch: list[int]) -> Value:
    """The value with zeros after its other axes, but for those that are shorter than two vectors."""
    missing = [
        0 if axis in batch or size < 2 * _EVEN else -size % _EVEN for axis, size in enumerate(value.shape)
    ]
    return cx.pad(value, [0] * value.rank, missing) if any(missing) else value
