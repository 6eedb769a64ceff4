"""Eager's own steps one by one, for operators that are Python code of other operators in eager."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lowering.ir.types import DType
from lowering.stablehlo.context import ConcreteType, Context
from lowering.stablehlo.value import Scalar, Value


def step(cx: Context, target: str, *operands: Value | Scalar, **keywords: Any) -> Value:
    """Lower an elementwise overload whose result has the operands' common dtype and sizes.

    Each step rounds to the dtype that eager's does.
    """
    shape = cx.broadcast_shapes(*(o.shape for o in operands if isinstance(o, Value)))
    out = ConcreteType(cx.result_type(*operands), shape)
    return cx.call(target, *operands, outs=[out], **keywords)


def times(cx: Context, a: Value, b: Value | Scalar) -> Value:
    return step(cx, "aten.mul.Tensor", a, b)


def over(cx: Context, a: Value, b: Value | Scalar) -> Value:
    """True division, of floating-point numbers."""
    return step(cx, "aten.div.Tensor", a, b)


def one_over(cx: Context, a: Value) -> Value:
    return step(cx, "aten.reciprocal.default", a)


def plus(cx: Context, a: Value, b: Value | Scalar) -> Value:
    return step(cx, "aten.add.Tensor", a, b)


def minus(cx: Context, a: Value, b: Value | Scalar) -> Value:
    return step(cx, "aten.sub.Tensor", a, b)


def rounded(cx: Context, a: Value) -> Value:
    return step(cx, "aten.round.default", a)


def limited(cx: Context, a: Value, low: Scalar | None, high: Scalar | None) -> Value:
    """Clamped; the dtype stays."""
    return cx.call("aten.clamp.default", a, low, high, outs=[ConcreteType(a.dtype, a.shape)])


def extremes(cx: Context, a: Value, axes: Sequence[int], keepdim: bool = True) -> tuple[Value, Value]:
    """The least and the greatest, neither beyond zero on its side: ranges always hold zero."""
    low, high = cx.reduce_min(a, axes, keepdim), cx.reduce_max(a, axes, keepdim)
    return cx.minimum(low, 0), cx.maximum(high, 0)


def cast_to(cx: Context, a: Value, dtype: DType) -> Value:
    return cx.call("aten._to_copy.default", a, dtype=dtype, outs=[ConcreteType(dtype, a.shape)])
