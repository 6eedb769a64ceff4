"""Bessel functions J, Y and K, the Airy function and erfcx: rational approximations and Chebyshev series."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import pi, sqrt

from lowering.stablehlo.context import Context
from lowering.stablehlo.ops import bessel_tables as tables
from lowering.stablehlo.ops.jax_functions import in_jax
from lowering.stablehlo.registry import add_rules
from lowering.stablehlo.value import Value

INF, NAN = float("inf"), float("nan")
Rational = tuple[Sequence[float], Sequence[float]]


def horner(cx: Context, factors: Sequence[float], x: Value) -> Value:
    """A polynomial, highest power first."""
    result = cx.constant(factors[0], x.dtype, x.shape)
    for factor in factors[1:]:
        result = result * x + factor
    return result


def ratio(cx: Context, table: Rational, x: Value) -> Value:
    return horner(cx, table[0], x) / horner(cx, table[1], x)


def chebyshev_series(cx: Context, factors: Sequence[float], x: Value) -> Value:
    """Clenshaw's sum in x = 2 cos(angle), highest order first, half of the last factor."""
    before = last = cx.constant(0.0, x.dtype, x.shape)
    value = cx.constant(factors[0], x.dtype, x.shape)
    for factor in factors[1:]:
        before, last = last, value
        value = x * last - before + factor
    return 0.5 * (value - before)


def _wave(cx: Context, x: Value, order: int, behind: bool) -> Value:
    """J (or Y, a quarter of a wave behind) above 5: sqrt(2 / (pi x)) times a wave with slow factors."""
    inverse = 5.0 / x
    square = inverse * inverse
    shifted = x - (2 * order + 1) * pi / 4
    main = ratio(cx, tables.IN_PHASE[order], square)
    rest = inverse * ratio(cx, tables.BEHIND[order], square)
    sine, cosine = cx.sin(shifted), cx.cos(shifted)
    wave = main * sine + rest * cosine if behind else main * cosine - rest * sine
    return wave * sqrt(2 / pi) / cx.sqrt(x)


def j0(cx: Context, x: Value) -> Value:
    size = cx.abs(x)
    square = size * size
    near = (square - 5.78318596294678452118) * (square - 30.4712623436620863991)
    near = near * ratio(cx, tables.J0_NEAR, square)
    return cx.select(size <= 5, near, _wave(cx, size, 0, behind=False))


def j1(cx: Context, x: Value) -> Value:
    size = cx.abs(x)
    square = size * size
    near = ratio(cx, tables.J1_NEAR, square) * size
    near = near * (square - 14.6819706421238932572) * (square - 49.2184563216946036703)
    value = cx.select(size <= 5, near, _wave(cx, size, 1, behind=False))
    return cx.select(x < 0, -value, value)


def _above_zero(cx: Context, x: Value, value: Value, at_zero: float) -> Value:
    """A function with a pole at 0 and no value below it."""
    return cx.select(x == 0, at_zero, cx.select(x < 0, NAN, value))


def y0(cx: Context, x: Value) -> Value:
    near = ratio(cx, tables.Y0_NEAR, x * x) + 2 / pi * (cx.log(x) * j0(cx, x))
    value = cx.select(x <= 5, near, _wave(cx, x, 0, behind=True))
    return _above_zero(cx, x, value, -INF)


def y1(cx: Context, x: Value) -> Value:
    near = x * ratio(cx, tables.Y1_NEAR, x * x) + 2 / pi * (j1(cx, x) * cx.log(x) - 1.0 / x)
    value = cx.select(x <= 5, near, _wave(cx, x, 1, behind=True))
    return _above_zero(cx, x, value, -INF)


def k0(cx: Context, x: Value, scaled: bool) -> Value:
    near = chebyshev_series(cx, tables.K0_NEAR, x * x - 2.0)
    near = near - cx.log(0.5 * x) * in_jax(cx, "i0")(x)
    return _k(cx, x, near, tables.K0_FAR, scaled)


def k1(cx: Context, x: Value, scaled: bool) -> Value:
    near = chebyshev_series(cx, tables.K1_NEAR, x * x - 2.0) / x
    near = cx.log(0.5 * x) * in_jax(cx, "i1")(x) + near
    return _k(cx, x, near, tables.K1_FAR, scaled)


def _k(cx: Context, x: Value, near: Value, far: Sequence[float], scaled: bool) -> Value:
    tail = chebyshev_series(cx, far, 8.0 / x - 2.0) / cx.sqrt(x)
    if scaled:
        near = near * cx.exp(x)
    else:
        tail = tail * cx.exp(-x)
    return _above_zero(cx, x, cx.select(x <= 2, near, tail), INF)


def airy_series() -> tuple[list[float], list[float]]:
    """The two power series of y'' = x y in x ** 3, highest power first; 18 terms reach float64 at 2.09."""
    even, odd = [1.0], [1.0]
    for k in range(3, 54, 3):
        even.append(even[-1] / (k * (k - 1)))
        odd.append(odd[-1] / (k * (k + 1)))
    return even[::-1], odd[::-1]


def airy_ai(cx: Context, x: Value) -> Value:
    """Ai; NaN at both infinities, as in torch."""
    even, odd = airy_series()
    cube = x * x * x
    near = 0.355028053887817239260 * horner(cx, even, cube)
    near = near - 0.258819403792806798405 * x * horner(cx, odd, cube)
    size = cx.abs(x)
    root = cx.sqrt(size)
    zeta = 2.0 * size * root / 3.0
    inverse = 1.0 / zeta
    fourth = cx.sqrt(root)
    decay = ratio(cx, tables.AIRY_DECAY, inverse) / (2.0 * fourth * cx.exp(zeta))
    square, angle = inverse * inverse, zeta + pi / 4
    wave = cx.sin(angle) * (1.0 + square * ratio(cx, tables.AIRY_SINE, square))
    wave = (wave - cx.cos(angle) * (inverse * ratio(cx, tables.AIRY_COSINE, square))) / fourth
    far = cx.select(x < 0, wave, decay) * (1 / sqrt(pi))
    value = cx.select((x >= -2.09) & (x < 2.09), near, far)
    return cx.select(size == INF, NAN, value)


def erfcx(cx: Context, x: Value) -> Value:
    """exp(x * x) erfc(x), after W. J. Cody's rational approximations."""
    size = cx.abs(x)
    growth = cx.exp(x * x)
    near = growth * (1.0 - cx.erf(size))
    square = 1.0 / (size * size)
    far = (1 / sqrt(pi) - square * ratio(cx, tables.ERFCX_FAR, square)) / size
    middle = ratio(cx, tables.ERFCX_MIDDLE, size)
    above = cx.select(size < 0.46875, near, cx.select(size <= 4, middle, far))
    return cx.select(x < 0, 2.0 * growth - above, above)


def _of_one(fn: Callable[[Context, Value], Value]) -> Callable[..., Value]:
    def rule(cx: Context, self: Value) -> Value:
        return cx.pointwise(lambda x: fn(cx, x), self, out=cx.out.dtype)

    return rule


def _of_x(fn: Callable[[Context, Value], Value]) -> Callable[..., Value]:
    def rule(cx: Context, x: Value) -> Value:
        return cx.pointwise(lambda v: fn(cx, v), x, out=cx.out.dtype)

    return rule


add_rules(
    (
        ("aten.special_bessel_j0.default", _of_one(j0)),
        ("aten.special_bessel_j1.default", _of_one(j1)),
        ("aten.special_bessel_y0.default", _of_one(y0)),
        ("aten.special_bessel_y1.default", _of_one(y1)),
        ("aten.special_erfcx.default", _of_one(erfcx)),
        ("aten.special_modified_bessel_k0.default", _of_one(lambda cx, x: k0(cx, x, scaled=False))),
        ("aten.special_modified_bessel_k1.default", _of_one(lambda cx, x: k1(cx, x, scaled=False))),
        ("aten.special_scaled_modified_bessel_k0.default", _of_x(lambda cx, x: k0(cx, x, scaled=True))),
        ("aten.special_scaled_modified_bessel_k1.default", _of_x(lambda cx, x: k1(cx, x, scaled=True))),
        ("aten.special_airy_ai.default", _of_x(airy_ai)),
    )
)
