"""Choices between tensors, bounds, and sums of three tensors, element by element."""

from __future__ import annotations

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.ops.elementwise import Operand
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.value import Scalar, Value


@lowers("aten.where.self", "aten.where.Scalar", "aten.where.ScalarOther", "aten.where.ScalarSelf")
def where(cx: Context, condition: Value, self: Operand, other: Operand) -> Value:
    predicate = cx.convert(condition, DType.BOOL)
    chosen = cx.select(predicate, cx.as_value(self, cx.out.dtype), cx.as_value(other, cx.out.dtype))
    return cx.broadcast(chosen, cx.out.shape)


@lowers("aten.clamp.default", "aten.clamp.Tensor", "aten.clip.default", "aten.clip.Tensor")
def clamp(cx: Context, self: Value, min: Operand | None, max: Operand | None) -> Value:
    """The upper bound wins where bounds cross; NaN in any operand gives NaN."""
    x = cx.convert(self, cx.out.dtype)
    if min is not None:
        x = cx.maximum(x, cx.as_value(min, cx.out.dtype))
    if max is not None:
        x = cx.minimum(x, cx.as_value(max, cx.out.dtype))
    return x


@lowers("aten.clamp_min.default", "aten.clamp_min.Tensor")
def clamp_min(cx: Context, self: Value, min: Operand) -> Value:
    return clamp(cx, self, min, None)


@lowers("aten.clamp_max.default", "aten.clamp_max.Tensor")
def clamp_max(cx: Context, self: Value, max: Operand) -> Value:
    return clamp(cx, self, None, max)


@lowers("aten.lerp.Tensor", "aten.lerp.Scalar")
def lerp(cx: Context, self: Value, end: Value, weight: Operand) -> Value:
    """Measured from the nearer end, so that weight 1 gives `end` exactly. A scalar weight is not narrowed."""

    def fn(a: Value, b: Value, w: Value) -> Value:
        step = b - a
        near = cx.abs(w) < 0.5
        return cx.select(near, a + w * step, b - step * (1 - w))

    return cx.pointwise(fn, self, end, weight, out=cx.out.dtype)


@lowers("aten.addcmul.default")
def addcmul(cx: Context, self: Value, tensor1: Operand, tensor2: Operand, value: Scalar) -> Value:
    """`value` is not narrowed; 0-d tensors are."""
    out = cx.out.dtype
    a, b = cx.as_value(tensor1, out), cx.as_value(tensor2, out)
    return cx.pointwise(lambda x, a, b, k: x + k * a * b, self, a, b, value, out=out)


@lowers("aten.addcdiv.default")
def addcdiv(cx: Context, self: Value, tensor1: Operand, tensor2: Operand, value: Scalar) -> Value:
    out = cx.out.dtype
    a, b = cx.as_value(tensor1, out), cx.as_value(tensor2, out)
    return cx.pointwise(lambda x, a, b, k: x + k * a / b, self, a, b, value, out=out)
