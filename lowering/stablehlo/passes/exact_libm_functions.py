"""Compute functions of C's library as exactly as it does: angles, powers, atan2, complex absolute values.

Sines, cosines and tangents of float32 take reduced angles. Absolute values of complex64 do not overflow.
Powers and atan2 have the corner cases of C.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from math import pi

from lowering.ir.types import DType
from lowering.stablehlo.hlo import ir
from lowering.stablehlo.passes import angles
from lowering.stablehlo.passes.parsed import ParsedModule
from lowering.stablehlo.passes.rewrite import cx, replace
from lowering.stablehlo.value import Value


def rewrite(parsed: ParsedModule) -> None:
    _rewrite(parsed.block)


def _rewrite(block: ir.Block) -> None:
    """Rewrite the functions of a block, and of the regions below it."""
    for op in list(block.operations):
        for region in op.regions:
            for inner in region.blocks:
                _rewrite(inner)
        rules = _RULES.get(op.operation.name)
        rule = rules.get(Value(op.operands[0]).dtype) if rules is not None else None
        if rule is not None:
            with ir.InsertionPoint(op), op.location:
                replace(op, rule(*map(Value, op.operands)))


def _magnitude(number: Value) -> Value:
    """The absolute value of complex64: in float64, where squares do not overflow."""
    real, imag = (cx.convert(part, DType.FLOAT64) for part in (cx.real(number), cx.imag(number)))
    return cx.convert(cx.sqrt(real * real + imag * imag), DType.FLOAT32)


def _angle_of(y: Value, x: Value) -> Value:
    """atan2: of the upper half plane the engine's own, with the sign of `y`; on the axis 0 or pi."""
    axis = cx.select(_is_negative(x), pi, cx.constant(0, y.dtype, y.shape))
    endless = cx.compare(cx.abs(x), _INF, "EQ") & cx.compare(cx.abs(y), _INF, "EQ")
    corner = cx.select(_is_negative(x), 0.75 * pi, cx.constant(0.25 * pi, y.dtype, y.shape))
    upper = cx.select(y == 0, axis, cx.select(endless, corner, cx.atan2(cx.abs(y), x)))
    angle = cx.select(_is_negative(y), -upper, upper)
    return cx.select(cx.is_nan(x) | cx.is_nan(y), cx.constant(float("nan"), y.dtype), angle)


def _power(x: Value, y: Value) -> Value:
    """The engine's own of |x|, by logarithms, for which float32 is too coarse; the rest as C's pow has it."""
    wide = (cx.convert(operand, DType.FLOAT64) for operand in (cx.abs(x), y))
    size = cx.convert(operator.pow(*wide), x.dtype)
    whole = cx.floor(y) == y
    odd = whole & (cx.floor(y * 0.5) != y * 0.5)
    signed = cx.select(odd & _is_negative(x), -size, size)
    # NaN is not whole. An engine whose own power of 1 and NaN is 1, as C's is, has it of -1 too.
    undefined = (x < 0) & cx.is_finite(x) & ~whole
    result = cx.select(undefined, float("nan"), signed)
    one = (y == 0) | (x == 1) | ((x == -1) & cx.compare(cx.abs(y), _INF, "EQ"))
    return cx.select(one, 1.0, result)


def _is_negative(x: Value) -> Value:
    """Whether the sign bit is set."""
    return cx.bitcast(x, _BITS[x.dtype]) < 0


_INF = float("inf")
_BITS = {DType.FLOAT32: DType.INT32, DType.FLOAT64: DType.INT64}

_RULES: Mapping[str, Mapping[DType, Callable[..., Value]]] = {
    "stablehlo.abs": {DType.COMPLEX64: _magnitude},
    "stablehlo.atan2": {DType.FLOAT32: _angle_of},
    "stablehlo.cosine": {DType.FLOAT32: angles.cosine},
    "stablehlo.power": {DType.FLOAT32: _power, DType.FLOAT64: _power},
    "stablehlo.sine": {DType.FLOAT32: angles.sine},
    "stablehlo.tan": {DType.FLOAT32: angles.tangent},
}
