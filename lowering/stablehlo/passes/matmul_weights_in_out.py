"""Lay the weights of matmuls out as [in, out], once, except float16 and bfloat16."""

from __future__ import annotations

from typing import Any

from lowering.stablehlo.hlo import ir, stablehlo
from lowering.stablehlo.passes.parsed import ParsedModule
from lowering.stablehlo.passes.rewrite import cx, permuted, rests_on, rewrite_matmuls
from lowering.stablehlo.value import Value


def rewrite(parsed: ParsedModule) -> None:
    weights = parsed.weights
    rewrite_matmuls(parsed.block, lambda op: _turned(op, weights))


def _turned(op: Any, weights: set[ir.Value]) -> Value | None:
    numbers = stablehlo.DotDimensionNumbers(op.dot_dimension_numbers)
    weight = Value(op.rhs)
    plain = not list(numbers.rhs_batching_dimensions) and weight.rank == 2 and not weight.dtype.is_half
    if not plain or list(numbers.rhs_contracting_dimensions) != [1] or not rests_on(op.rhs, weights):
        return None
    contract = (list(numbers.lhs_contracting_dimensions), [0])
    return cx.dot_general(Value(op.lhs), permuted(weight, (1, 0)), contract, out=Value(op.result).dtype)
