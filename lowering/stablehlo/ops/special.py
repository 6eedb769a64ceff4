"""Special functions: Bessel, incomplete gamma, zeta and the normal distribution."""

from __future__ import annotations

from collections.abc import Callable
from math import log, pi, sqrt

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.ops.bessel import erfcx
from lowering.stablehlo.ops.elementwise import narrowed
from lowering.stablehlo.ops.jax_functions import in_jax
from lowering.stablehlo.registry import add_rules, lowers
from lowering.stablehlo.value import Scalar, Value

# Overload -> the function's name in jax.scipy.special.
IN_JAX = {
    "aten.i0.default": "i0",
    "aten.special_i0.default": "i0",
    "aten.special_i0e.default": "i0e",
    "aten.special_i1.default": "i1",
    "aten.special_i1e.default": "i1e",
    "aten.special_modified_bessel_i0.default": "i0",
    "aten.special_modified_bessel_i1.default": "i1",
    "aten.special_ndtri.default": "ndtri",
}

IN_JAX_OF_TWO = {
    "aten.igamma.default": "gammainc",
    "aten.igammac.default": "gammaincc",
    "aten.special_gammainc.default": "gammainc",
    "aten.special_gammaincc.default": "gammaincc",
}


def _of_one(function: str) -> Callable[..., Value]:
    def rule(cx: Context, self: Value) -> Value:
        return cx.pointwise(in_jax(cx, function), self, out=cx.out.dtype)

    return rule


def _of_two(function: str) -> Callable[..., Value]:
    def rule(cx: Context, self: Value, other: Value) -> Value:
        return narrowed(cx, in_jax(cx, function), self, other)

    return rule


add_rules((target, _of_one(function)) for target, function in IN_JAX.items())
add_rules((target, _of_two(function)) for target, function in IN_JAX_OF_TWO.items())


@lowers("aten.special_entr.default")
def entr(cx: Context, self: Value) -> Value:
    """-x log(x); 0 at 0, -inf below. Eager's half kernel rounds the logarithm first."""

    def fn(x: Value) -> Value:
        inside = cx.select(x == 0, 0, -x * cx.log(x))
        return cx.select(cx.is_nan(x), x, cx.select(x < 0, float("-inf"), inside))

    return cx.pointwise(fn, self, out=cx.out.dtype, compute=cx.out.dtype)


@lowers("aten.special_ndtr.default")
def ndtr(cx: Context, self: Value) -> Value:
    """The normal distribution function, by torch's formula and in its steps: far below 0 it is 0."""
    x = cx.convert(self, cx.out.dtype)
    steps = (lambda v: v * (1 / sqrt(2)), cx.erf, lambda v: 1 + v, lambda v: v * 0.5)
    for step in steps:
        x = cx.pointwise(step, x, out=x.dtype)
    return x


@lowers("aten.special_log_ndtr.default")
def log_ndtr(cx: Context, self: Value) -> Value:
    """The logarithm of `ndtr` by torch's formula: neither tail is a difference of near numbers."""

    def fn(x: Value) -> Value:
        t = x * (1 / sqrt(2))
        below = cx.log(erfcx(cx, -t) / 2) - t * t
        return cx.select(x < -1, below, cx.log1p(-cx.erfc(t) / 2))

    return cx.pointwise(fn, self, out=cx.out.dtype)


@lowers("aten.special_spherical_bessel_j0.default")
def spherical_bessel_j0(cx: Context, x: Value) -> Value:
    """sin(x) / x, and its series near 0, where torch switches at 0.5."""

    def fn(v: Value) -> Value:
        square = v * v
        series = cx.constant(1.0, v.dtype, v.shape)
        for factor in (-1 / 210, -1 / 156, -1 / 110, -1 / 72, -1 / 42, -1 / 20, -1 / 6):
            series = 1 + square * factor * series
        near = cx.abs(v) < 0.5
        far = cx.sin(v) / cx.select(near, 1, v)
        return cx.select(cx.abs(v) == float("inf"), 0, cx.select(near, series, far))

    return cx.pointwise(fn, x, out=cx.out.dtype)


@lowers("aten.polygamma.default", "aten.special_polygamma.default")
def polygamma(cx: Context, n: int, self: Value) -> Value:
    """The n-th derivative of digamma; below 0 by reflection, since CHLO's holds above 0 only."""
    if n == 0:
        return cx.call("aten.digamma.default", self)

    if n == 1:
        return cx.pointwise(lambda x: trigamma(cx, x), self, out=cx.out.dtype)

    sign = -1 if n % 2 == 0 else 1

    def fn(x: Value) -> Value:
        negative = x <= 0
        above = cx.polygamma(float(n), cx.select(negative, 1 - x, x))
        cot = 1 / cx.tan((x - cx.round_even(x)) * pi)
        reflected = -sign * above - pi ** (n + 1) * _horner(cx, cotangent_derivative(n), cot)
        value = cx.select(negative, reflected, above)
        ends = cx.select(x > 0, float("nan"), cx.constant(sign * float("inf"), x.dtype, x.shape))
        return cx.select(cx.abs(x) == float("inf"), ends, value)

    return cx.pointwise(fn, self, out=cx.out.dtype)


def trigamma(cx: Context, x: Value) -> Value:
    """The first derivative of digamma in eager's steps: six of the recurrence, then four terms of the series.

    They leave an error of 5e-10, which float64 shows. Eager does not reduce the angle of the reflection.
    """
    low = x < 0.5
    sine = cx.sin(x * pi)
    result = cx.select(low, -(pi**2) / (sine * sine), cx.constant(0, x.dtype, x.shape))
    y = cx.select(low, 1 - x, x)
    for _ in range(6):
        result = result + 1 / (y * y)
        y = y + 1
    square = 1 / (y * y)
    series = 1 + 1 / (2 * y) + square * (1 / 6 - square * (1 / 30 - square * (1 / 42)))
    result = result + series / y
    return cx.select(low, -result, result)


def cotangent_derivative(n: int) -> list[float]:
    """The n-th derivative of cot(x) as a polynomial in cot(x), lowest power first.

    By the rule (p(cot))' = -(1 + cot^2) p'(cot).
    """
    powers = [0.0, 1.0]
    for _ in range(n):
        slope = [i * factor for i, factor in enumerate(powers)][1:]
        powers = [-(a + b) for a, b in zip([*slope, 0.0, 0.0], [0.0, 0.0, *slope], strict=True)]
    return powers


def _horner(cx: Context, factors: list[float], x: Value) -> Value:
    """A polynomial; terms with factor 0 are left out, so that infinite `x` makes no NaN."""
    result = cx.constant(factors[-1], x.dtype, x.shape)
    for factor in factors[-2::-1]:
        result = result * x
        result = result + factor if factor else result
    return result


@lowers("aten.mvlgamma.default", "aten.special_multigammaln.default")
def multivariate_lgamma(cx: Context, self: Value, p: int) -> Value:
    """sum of lgamma(x - i / 2) for i below p, plus p (p - 1) / 4 log(pi)."""
    if not 1 <= p <= 32:
        raise Unsupported(f"mvlgamma of order {p} is not lowered")

    def fn(x: Value) -> Value:
        total = cx.lgamma(x)
        for i in range(1, p):
            total = total + cx.lgamma(x - i / 2)
        return total + p * (p - 1) / 4 * log(pi)

    return cx.pointwise(fn, self, out=cx.out.dtype)


@lowers("aten.special_zeta.default", "aten.special_zeta.other_scalar", "aten.special_zeta.self_scalar")
def zeta(cx: Context, self: Value | Scalar, other: Value | Scalar) -> Value:
    """NaN below 1 for any `other`: eager looks at `self` first. Powers of `other` overflow float32."""

    def fn(x: Value, q: Value) -> Value:
        wide = _zeta_of_any(cx, cx.convert(x, DType.FLOAT64), cx.convert(q, DType.FLOAT64))
        value = cx.select((q <= 0) & (q == cx.floor(q)), float("inf"), cx.convert(wide, x.dtype))
        # Of an endless power, a base below 1 is endless too, and 1 stays.
        first = cx.select(q < 1, float("inf"), cx.constant(1, x.dtype, q.shape))
        value = cx.select((x == float("inf")) & (q <= 1), first, value)
        return cx.select(x == 1, float("inf"), cx.select(x < 1, float("nan"), value))

    return narrowed(cx, fn, self, other)


def _zeta_of_any(cx: Context, x: Value, q: Value) -> Value:
    """zeta in float64; of a negative `q` the terms below 0 apart, for CHLO's series begins after nine terms.

    The terms are powers of |q|, |q| - 1, ... down to the fraction of |q|: a difference of two sums of
    positive terms. The powers are negative where `x` is odd, and NaN where it is not whole.
    """
    negative = q < 0
    size = cx.abs(q)
    part = cx.select(negative, size - cx.floor(size), q)
    above = cx.zeta(x, cx.select(negative, 1 - part, q))
    below = cx.zeta(x, part) - cx.zeta(x, cx.select(negative, size + 1, q))
    odd = cx.floor(x * 0.5) != x * 0.5
    below = cx.select(odd, -below, below)
    below = cx.select(x == cx.floor(x), below, float("nan"))
    return cx.select(negative, above + below, above)
