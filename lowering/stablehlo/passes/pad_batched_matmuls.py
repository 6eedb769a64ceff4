"""Pad matmuls with batch axes by zeros to sizes that vectors divide, and slice the results."""

from __future__ import annotations

from typing import Any

from lowering.stablehlo.hlo import stablehlo
from lowering.stablehlo.passes.parsed import ParsedModule
from lowering.stablehlo.passes.rewrite import cx, rewrite_matmuls
from lowering.stablehlo.value import Value

# The elements of a vector.
_VECTOR = 16


def rewrite(parsed: ParsedModule) -> None:
    weights = parsed.weights
    rewrite_matmuls(parsed.block, lambda op: None if {op.lhs, op.rhs} & weights else _padded(op))


def _padded(op: Any) -> Value | None:
    numbers = stablehlo.DotDimensionNumbers(op.dot_dimension_numbers)
    batch = (list(numbers.lhs_batching_dimensions), list(numbers.rhs_batching_dimensions))
    contract = (list(numbers.lhs_contracting_dimensions), list(numbers.rhs_contracting_dimensions))
    operands = (Value(op.lhs), Value(op.rhs))
    if not batch[0] or not all(value.dtype.is_floating for value in operands):
        return None
    left, right = (_with_zeros(value, kept) for value, kept in zip(operands, batch, strict=True))
    if (left.shape, right.shape) == (operands[0].shape, operands[1].shape):
        return None
    result = Value(op.result)
    product = cx.dot_general(left, right, contract, batch, out=result.dtype)
    return cx.slice(product, [0] * result.rank, result.shape)


def _with_zeros(value: Value, batch: list[int]) -> Value:
    """The value with zeros after its other axes, but for those that are shorter than two vectors."""
    missing = [
        0 if axis in batch or size < 2 * _VECTOR else -size % _VECTOR for axis, size in enumerate(value.shape)
    ]
    return cx.pad(value, [0] * value.rank, missing) if any(missing) else value
