"""Softmax and its logarithm, in float32 for halves and rounded once."""

from __future__ import annotations

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.value import Value


def _shifted(cx: Context, self: Value, dim: int) -> Value:
    """Minus the line's maximum, in the type eager computes in. A line of -inf becomes NaN, as in eager."""
    value = cx.convert(self, cx.compute_dtype(cx.out.dtype))
    return value - cx.reduce_max(value, dim, keepdim=True)


# `dtype` and `half_to_float` are the result's type, which the program states.
@lowers("aten.softmax.int", "aten.special_softmax.default", "aten._softmax.default")
def softmax(
    cx: Context, self: Value, dim: int, dtype: DType | None = None, half_to_float: bool = False
) -> Value:
    if not self.size:
        return cx.convert(self, cx.out.dtype)
    # Eager rounds the operand to `dtype` before it computes.
    weights = cx.exp(_shifted(cx, cx.convert(self, dtype or self.dtype), dim))
    return cx.convert(weights / cx.reduce_sum(weights, dim, keepdim=True), cx.out.dtype)


@lowers("aten._safe_softmax.default")
def safe_softmax(cx: Context, self: Value, dim: int, dtype: DType | None = None) -> Value:
    """Softmax whose lines of -inf are 0."""
    masked = cx.reduce_and(self == float("-inf"), dim, keepdim=True)
    return cx.select(masked, 0, softmax(cx, self, dim, dtype))


@lowers("aten.log_softmax.int", "aten.special_log_softmax.default", "aten._log_softmax.default")
def log_softmax(
    cx: Context, self: Value, dim: int, dtype: DType | None = None, half_to_float: bool = False
) -> Value:
    if not self.size:
        return cx.convert(self, cx.out.dtype)
    return cx.convert(log_softmax_of(cx, cx.convert(self, dtype or self.dtype), dim), cx.out.dtype)


def log_softmax_of(cx: Context, x: Value, dim: int) -> Value:
    """In the operand's type. Along the last axis eager rounds the sum of halves, and its logarithm."""
    last = x.dtype.is_half and dim in (-1, x.rank - 1)

    def stored(value: Value) -> Value:
        return cx.rounded(value, x.dtype) if last else value

    value = cx.convert(x, cx.compute_dtype(x.dtype))
    shifted = value - cx.reduce_max(value, dim, keepdim=True)
    total = stored(cx.reduce_sum(cx.exp(shifted), dim, keepdim=True))
    return cx.convert(shifted - stored(cx.log(total)), x.dtype)
