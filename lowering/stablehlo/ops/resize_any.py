"""`resize` of sizes that are known only at the call: where an element reads, computed in the module.

The roundings are those of NumPy's arithmetic in `resize`, one after each step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.size_questions import same_size
from lowering.stablehlo.symbolic import any_symbolic
from lowering.stablehlo.value import Value

if TYPE_CHECKING:
    from lowering.stablehlo.ops.resize import _Axis

# Of each tap, the element it reads and its weight.
Taps = list[tuple[Value, Value]]


def is_of_any(axis: _Axis) -> bool:
    """Whether a size of the axis is known only at the call."""
    return any_symbolic((axis.size, axis.out))


def _product(cx: Context, a: Value, b: Value | float) -> Value:
    """A product that is rounded before anything is added to it."""
    if a.dtype is DType.FLOAT64:
        return cx.opaque(a * b)
    wide = b if not isinstance(b, Value) else cx.convert(b, DType.FLOAT64)
    return cx.convert(cx.convert(a, DType.FLOAT64) * wide, a.dtype)


def _step(cx: Context, axis: _Axis, real: DType) -> Value:
    if axis.align_corners:
        some = axis.out - 1
        step = cx.constant(axis.size - 1, real) / cx.maximum(cx.constant(some, real), 1.0)
        return cx.select(cx.constant(some, DType.INT64) > 0, step, 0.0)
    if axis.scale is not None and axis.scale > 0:
        return cx.constant(1.0 / axis.scale, real)
    return cx.constant(axis.size, real) / cx.constant(axis.out, real)


def nearest(cx: Context, value: Value, at: int, axis: _Axis, shift: float) -> Value:
    """The source of every output element, in float32 whatever the data is."""
    for times in (1, 2):
        if not shift and same_size(axis.out, times * axis.size):
            wide = (*value.shape[: at + 1], times, *value.shape[at + 1 :])
            shape = (*value.shape[:at], axis.out, *value.shape[at + 1 :])
            return cx.reshape(cx.expand(value, wide, at + 1), shape)
    step = _step(cx, axis._replace(align_corners=False), DType.FLOAT32)
    place = cx.iota(DType.FLOAT64, (axis.out,)) + shift
    source = cx.convert(place * cx.convert(step, DType.FLOAT64), DType.FLOAT32)
    index = cx.convert(cx.floor(source), DType.INT64)
    return cx.take(value, cx.minimum(index, axis.size - 1), at)


def _sources(cx: Context, axis: _Axis) -> Value:
    real = DType(axis.real.name)
    at, step = cx.iota(real, (axis.out,)), _step(cx, axis, real)
    step = cx.broadcast(step, at.shape)
    return _product(cx, at, step) if axis.align_corners else _product(cx, at + 0.5, step) - 0.5


def _base(cx: Context, axis: _Axis, sources: Value) -> tuple[Value, Value]:
    index = cx.minimum(cx.convert(cx.floor(sources), DType.INT64), axis.size - 1)
    return index, cx.clamp(0.0, sources - cx.convert(index, sources.dtype), 1.0)


def linear(cx: Context, axis: _Axis) -> Taps:
    """As of `resize.linear`."""
    index, rest = _base(cx, axis, cx.maximum(_sources(cx, axis), 0.0))
    after = cx.minimum(index + 1, axis.size - 1)
    stays = cx.constant(axis.out, DType.INT64) == axis.size
    place = cx.iota(DType.INT64, (axis.out,))
    index, after = (cx.select(stays, place, of) for of in (index, after))
    rest = cx.select(stays, 0.0, rest)
    return [(index, 1.0 - rest), (after, rest)]


def cubic(cx: Context, axis: _Axis) -> Taps:
    """As of `resize.cubic`."""
    index, rest = _base(cx, axis, _sources(cx, axis))
    stored = DType(axis.stored.name)
    taps: Taps = []
    for tap in range(-1, 3):
        weight = _keys(cx, cx.abs(rest - float(tap)), -0.75)
        taps.append((cx.clamp(0, index + tap, axis.size - 1), cx.convert(weight, stored)))
    return taps


def _keys(cx: Context, distance: Value, a: float) -> Value:
    """As of `resize._keys`."""
    near = _product(cx, distance, a + 2) - (a + 3)
    near = _product(cx, _product(cx, near, distance), distance) + 1.0
    far = _product(cx, _product(cx, distance, a) - 5 * a, distance) + 8 * a
    far = _product(cx, far, distance) - 4 * a
    return cx.select(distance < 1.0, near, cx.select(distance < 2.0, far, 0.0))


def weighted_sum(cx: Context, value: Value, at: int, taps: Taps) -> Value:
    """As of `resize._weighted_sum`."""
    terms: list[Value] = []
    for index, weight in taps:
        picked = cx.take(value, index, at)
        terms.append(picked * cx.broadcast_in_dim(cx.convert(weight, value.dtype), picked.shape, (at,)))
    return sum(terms[1:], start=terms[0])
