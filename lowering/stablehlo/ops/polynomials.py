"""Orthogonal polynomials. The degree is a tensor, so the recurrences run in a loop up to the largest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.ops.elementwise import Operand, narrowed
from lowering.stablehlo.registry import add_rules
from lowering.stablehlo.value import Value

# Of degree k > 1: (k, the two before it, argument) -> value. k has the argument's dtype.
Step = Callable[[Value, Value, Value, Value], Value]


@dataclass(frozen=True)
class Chebyshev:
    """A kind of Chebyshev polynomial.

    `first(y)`: degree 1. `at_one`, `at_minus_one`: the ends, the latter but for the sign of odd degrees.
    `wave(cx, angle, n)`: between the ends, where torch uses it for degrees above some.
    """

    first: Callable[[Value], Value]
    at_one: Callable[[Value], Value]
    at_minus_one: Callable[[Value], Value]
    wave: Callable[[Context, Value, Value], Value]


CHEBYSHEV = {
    "t": Chebyshev(lambda y: y, lambda n: n * 0 + 1, lambda n: n * 0 + 1, lambda cx, a, n: cx.cos(n * a)),
    "u": Chebyshev(
        lambda y: y + y,
        lambda n: n + 1,
        lambda n: n + 1,
        lambda cx, a, n: cx.sin((n + 1) * a) / cx.sin(a),
    ),
    "v": Chebyshev(
        lambda y: y + y - 1,
        lambda n: n * 0 + 1,
        lambda n: n + n + 1,
        lambda cx, a, n: cx.cos((n + 0.5) * a) / cx.cos(a / 2),
    ),
    "w": Chebyshev(
        lambda y: y + y + 1,
        lambda n: n + n + 1,
        lambda n: n * 0 + 1,
        lambda cx, a, n: cx.sin((n + 0.5) * a) / cx.sin(a / 2),
    ),
}

# Kind -> the degree above which torch computes the wave: of the plain ones, and of the shifted ones.
WAVES_ABOVE = {"t": (6, 6), "u": (8, 6), "v": (8, 6), "w": (8, 4)}


def recurrence(cx: Context, y: Value, degree: Value, first: Value, step: Step) -> Value:
    """The polynomial of each element's degree (int64), 0 below 0. Elements that became NaN stop."""
    one = cx.constant(1, y.dtype, y.shape)

    def runs(k: Value, last: Value) -> Value:
        return (degree >= k) & ~cx.is_nan(last)

    def body(k: Value, before: Value, last: Value, value: Value) -> tuple[Value, ...]:
        new = step(cx.convert(k, y.dtype), before, last, y)
        return k + 1, last, new, cx.select(runs(k, last), new, value)

    low = cx.select(degree < 0, 0, cx.select(degree == 0, one, first))
    start = (cx.constant(2, DType.INT64), one, first, low)
    return cx.while_loop(start, lambda k, _, last, __: cx.reduce_or(runs(k, last)), body)[3]


def chebyshev(cx: Context, kind: str, shifted: bool, x: Value, n: Value) -> Value:
    """Values at the ends, waves of high degrees between them, and the recurrence elsewhere, as torch has it:
    its roundings of waves show."""
    table = CHEBYSHEV[kind]
    y = x + x - 1 if shifted else x
    degree = cx.convert(n, DType.INT64)
    whole = cx.convert(degree, x.dtype)
    sign = cx.select((degree & 1) == 0, cx.constant(1, x.dtype, x.shape), -1)
    at_one, at_minus_one = table.at_one(whole), table.at_minus_one(whole) * sign
    is_end = cx.abs(y) == 1
    waves = (degree > WAVES_ABOVE[kind][shifted]) & (cx.abs(y) < 1)
    wave = _wave(cx, kind, shifted, y, whole, at_one, at_minus_one, sign)
    value = recurrence(
        cx, y, cx.select(waves | is_end, 0, degree), table.first(y), lambda k, p, q, y: (y + y) * q - p
    )
    value = cx.select(waves, wave, cx.select(is_end, cx.select(y > 0, at_one, at_minus_one), value))
    return cx.select(degree < 0, 0, value)


def _wave(
    cx: Context, kind: str, shifted: bool, y: Value, n: Value, at_one: Value, at_minus_one: Value, sign: Value
) -> Value:
    """The wave, or torch's value where an angle rounds so that the divisor would be 0."""
    # The arc cosine from both ends: 1 - y * y would cancel near them.
    angle = 2 * cx.atan2(cx.sqrt(1 - y), cx.sqrt(1 + y))
    wave = CHEBYSHEV[kind].wave(cx, angle, n)
    if kind == "v":
        return cx.select(cx.sin(angle / 2) == 1, at_minus_one, wave)
    if kind == "w":
        ends = sign if shifted else cx.select(y > 0, at_one, sign)
        return cx.select(cx.cos(angle / 2) == 1, ends, wave)
    return wave


# Name -> degree 1 and the recurrence of the others.
RECURRENCES: dict[str, tuple[Callable[[Value], Value], Step]] = {
    "hermite_polynomial_h": (lambda x: x + x, lambda k, p, q, x: (x + x) * q - (k + k - 2) * p),
    "hermite_polynomial_he": (lambda x: x, lambda k, p, q, x: x * q - (k - 1) * p),
    "laguerre_polynomial_l": (
        lambda x: 1 - x,
        lambda k, p, q, x: ((k + k - 1 - x) * q - (k - 1) * p) / k,
    ),
    "legendre_polynomial_p": (
        lambda x: x,
        lambda k, p, q, x: ((k + k - 1) * x * q - (k - 1) * p) / k,
    ),
}

# Above, torch gives NaN for Hermite polynomials, by dtype.
HERMITE_LIMIT = {DType.FLOAT32: 128, DType.FLOAT64: 512}


def by_recurrence(cx: Context, name: str, x: Value, n: Value) -> Value:
    degree = cx.convert(n, DType.INT64)
    first, step = RECURRENCES[name]
    if name.startswith("hermite"):
        too_high = degree > HERMITE_LIMIT[x.dtype]
        value = recurrence(cx, x, cx.select(too_high, 0, degree), first(x), step)
        return cx.select(too_high, float("nan"), value)
    if name.startswith("legendre"):
        # Degrees may be very high at the ends: torch knows the values there.
        is_end = cx.abs(x) == 1
        sign = cx.select((x > 0) | ((degree & 1) == 0), cx.constant(1, x.dtype, x.shape), -1)
        value = recurrence(cx, x, cx.select(is_end, 0, degree), first(x), step)
        return cx.select((degree >= 0) & is_end, sign, cx.select(degree < 0, 0, value))
    return recurrence(cx, x, cx.select(x == 0, cx.minimum(degree, 0), degree), first(x), step)


def _rule(fn: Callable[[Context, Value, Value], Value]) -> Callable[..., Value]:
    def rule(cx: Context, x: Operand, n: Operand) -> Value:
        return narrowed(cx, lambda a, b: fn(cx, a, b), x, n)

    return rule


def _chebyshev(kind: str, shifted: bool) -> Callable[[Context, Value, Value], Value]:
    return lambda cx, x, n: chebyshev(cx, kind, shifted, x, n)


def _recurrence(name: str) -> Callable[[Context, Value, Value], Value]:
    return lambda cx, x, n: by_recurrence(cx, name, x, n)


FUNCTIONS = {name: _recurrence(name) for name in RECURRENCES} | {
    f"{'shifted_' if shifted else ''}chebyshev_polynomial_{kind}": _chebyshev(kind, shifted)
    for kind in CHEBYSHEV
    for shifted in (False, True)
}

add_rules(
    (f"aten.special_{name}.{overload}", _rule(fn))
    for name, fn in FUNCTIONS.items()
    for overload in ("default", "x_scalar", "n_scalar")
)
