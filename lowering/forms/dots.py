"""Products with weights: the weight's orientation, and products of one row."""

from __future__ import annotations

from typing import Any

from lowering.forms.rewrite import cx, permuted, replace, rests_on
from lowering.hlo import func, ir, stablehlo
from lowering.value import Value


def weights_in_out(entry: func.FuncOp, weights: set[ir.Value]) -> None:
    """Weights [out, in] of products become [in, out], once: XLA's dots on one thread want them so."""
    for op in list(entry.entry_block.operations):
        if op.operation.name != "stablehlo.dot_general":
            continue
        numbers = stablehlo.DotDimensionNumbers(op.dot_dimension_numbers)
        weight = Value(op.rhs)
        plain = not list(numbers.rhs_batching_dimensions) and weight.rank == 2
        if not plain or list(numbers.rhs_contracting_dimensions) != [1] or not rests_on(op.rhs, weights):
            continue
        with ir.InsertionPoint(op), op.location:
            turned = permuted(weight, (1, 0))
            contract = (list(numbers.lhs_contracting_dimensions), [0])
            product = cx.dot_general(Value(op.lhs), turned, contract, out=Value(op.result).dtype)
            replace(op, product)


def pad_rows(entry: func.FuncOp) -> None:
    """One row of halves times a matrix, as two rows of which the first is kept.

    XLA converts the whole matrix to float32 for a product of one row, each time it is called.
    """
    for op in list(entry.entry_block.operations):
        if op.operation.name != "stablehlo.dot_general":
            continue
        with ir.InsertionPoint(op), op.location:
            padded = _padded(op)
            if padded is not None:
                replace(op, padded)


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
