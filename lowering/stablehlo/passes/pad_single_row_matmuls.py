"""Multiply one row of float16 or bfloat16 as two rows, of which the first is kept.

An engine may convert the whole matrix to float32 for a product of one row, each time it is called.
"""

from __future__ import annotations

from typing import Any

from lowering.stablehlo.hlo import stablehlo
from lowering.stablehlo.passes.parsed import ParsedModule
from lowering.stablehlo.passes.rewrite import cx, rewrite_matmuls
from lowering.stablehlo.value import Value


def rewrite(parsed: ParsedModule) -> None:
    rewrite_matmuls(parsed.block, _padded)


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
