"""Complex numbers: making them, their parts, conjugates and angles."""

from __future__ import annotations

from math import pi

from lowering.stablehlo.context import Context
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.value import Value


@lowers("aten.complex.default")
def make_complex(cx: Context, real: Value, imag: Value) -> Value:
    return cx.complex(real, imag)


@lowers("aten.polar.default")
def polar(cx: Context, abs: Value, angle: Value) -> Value:
    return cx.complex(abs * cx.cos(angle), abs * cx.sin(angle))


@lowers("aten.real.default")
def real(cx: Context, self: Value) -> Value:
    return cx.real(self) if self.dtype.is_complex else self


@lowers("aten.imag.default")
def imag(cx: Context, self: Value) -> Value:
    return cx.imag(self)


@lowers("aten.view_as_real.default", "aten.view_as_real_copy.default")
def view_as_real(cx: Context, self: Value) -> Value:
    parts = [cx.unsqueeze(part, -1) for part in (cx.real(self), cx.imag(self))]
    return cx.concatenate(parts, -1)


@lowers("aten.view_as_complex.default", "aten.view_as_complex_copy.default")
def view_as_complex(cx: Context, self: Value) -> Value:
    parts = [cx.squeeze(cx.slice_axis(self, -1, i, i + 1), -1) for i in range(2)]
    return cx.complex(parts[0], parts[1])


@lowers(
    "aten._conj.default",
    "aten._conj_copy.default",
    "aten._conj_physical.default",
    "aten.conj.default",
    "aten.conj_physical.default",
)
def conjugate(cx: Context, self: Value) -> Value:
    return cx.complex(cx.real(self), -cx.imag(self)) if self.dtype.is_complex else self


@lowers("aten._neg_view.default", "aten._neg_view_copy.default")
def negated(cx: Context, self: Value) -> Value:
    return -self


@lowers("aten.angle.default")
def angle(cx: Context, self: Value) -> Value:
    """Real numbers lie at 0 or pi; NaN stays."""
    if self.dtype.is_complex:
        return cx.atan2(cx.imag(self), cx.real(self))

    def fn(x: Value) -> Value:
        return cx.select(cx.is_nan(x), x, cx.select(x < 0, cx.constant(pi, x.dtype, x.shape), 0.0))

    return cx.pointwise(fn, self, out=cx.out.dtype)
