"""Sines, cosines and tangents of float32, for an engine whose own lose digits with the size of the angle.

An angle is reduced to [-pi/4, pi/4] in float64. The quarter turn is subtracted in three parts, of which the
first two multiply exactly. Polynomials follow, in float32. The results are as good as eager's up to 1e8;
larger angles keep an error of 1e-16 times the angle.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import pi

from lowering.ir.types import DType
from lowering.stablehlo.passes.rewrite import cx
from lowering.stablehlo.value import Value

# A quarter turn: 26 bits, the next 26, the rest.
_QUARTER = tuple(
    float.fromhex(part) for part in ("0x1.921fb50000000p+0", "0x1.110b460000000p-26", "0x1.1a62633145c07p-54")
)

# (sin(r) - r) / r^3 and (cos(r) - 1 + r^2 / 2) / r^4 in powers of r^2, the highest first. The fit has the
# least relative error, 4e-9 and 1e-10.
_SINE = (-1.9515283e-4, 8.332161e-3, -1.66666546e-1)
_COSINE = (2.44331569e-5, -1.388731625e-3, 4.1666645683e-2)


def sine(angle: Value) -> Value:
    turns, along, across = _reduced(angle)
    value = cx.select(_is_odd(turns), across, along)
    return cx.select(turns >= 2, -value, value)


def cosine(angle: Value) -> Value:
    turns, along, across = _reduced(angle)
    value = cx.select(_is_odd(turns), along, across)
    return cx.select((turns == 1) | (turns == 2), -value, value)


def tangent(angle: Value) -> Value:
    turns, along, across = _reduced(angle)
    odd = _is_odd(turns)
    return cx.select(odd, -across, along) / cx.select(odd, along, across)


def _reduced(angle: Value) -> tuple[Value, Value, Value]:
    """How many quarter turns were taken off, modulo 4 (float64); the sine and cosine of the rest."""
    rest = cx.convert(angle, DType.FLOAT64)
    turns = cx.round_even(rest * (2 / pi))
    for part in _QUARTER:
        rest = rest - turns * part
    r = cx.convert(rest, DType.FLOAT32)
    square = r * r
    sine = r + r * square * _polynomial(_SINE, square)
    cosine = 1 - 0.5 * square + square * square * _polynomial(_COSINE, square)
    return turns - 4 * cx.floor(turns * 0.25), sine, cosine


def _polynomial(coefficients: Sequence[float], x: Value) -> Value:
    first, *others = coefficients
    value: Value = x * first + others[0]
    for other in others[1:]:
        value = value * x + other
    return value


def _is_odd(turns: Value) -> Value:
    return (turns == 1) | (turns == 3)
