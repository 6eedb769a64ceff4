"""Resizing of the last one to three axes: nearest, linear, cubic, antialiased.

Each axis is resized on its own, the last one first, as torch's separable CPU kernels do. Where an output
element reads and with which weights is computed here with NumPy, in the precision torch computes it in, so
that the module holds only picks, products and sums.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.ops import resize_any
from lowering.stablehlo.ops.spatial import pick
from lowering.stablehlo.registry import add_rules
from lowering.stablehlo.value import Value, numpy_dtype


class _Axis(NamedTuple):
    """One axis to resize. `scale`: the caller's factor, or None; `real`: the dtype of coordinates; `stored`:
    the dtype of kept weights."""

    size: int
    out: int
    align_corners: bool
    scale: float | None
    real: np.dtype
    stored: np.dtype

    def step(self) -> np.floating:
        """Input elements per output element."""
        if self.align_corners:
            return self._real(self.size - 1) / self._real(self.out - 1) if self.out > 1 else self._real(0)
        if self.scale is not None and self.scale > 0:
            return self._real(1.0 / self.scale)
        return self._real(self.size) / self._real(self.out)

    def sources(self) -> np.ndarray:
        """Real-valued coordinates in the input of every output element."""
        at = np.arange(self.out).astype(self.real)
        if self.align_corners:
            return self.step() * at
        half = self._real(0.5)
        return self.step() * (at + half) - half

    def _real(self, value: float) -> np.floating:
        return self.real.type(value)


# Indices [out, taps] and weights [out, taps]; a tap of weight NaN is none.
Taps = tuple[np.ndarray, np.ndarray]


def nearest(axis: _Axis, shift: float = 0.0) -> np.ndarray:
    """Index of the source of every output element, in float32 whatever the data is."""
    if not shift and axis.out in (axis.size, 2 * axis.size):
        return np.arange(axis.out) // (axis.out // axis.size)
    step = axis._replace(align_corners=False, real=np.dtype(np.float32)).step()
    at = ((np.arange(axis.out) + shift) * (float(step) if shift else step)).astype(np.float32)
    return np.minimum(np.floor(at).astype(np.int64), axis.size - 1)


def _base(axis: _Axis, sources: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The element at or before each source, and how far behind it the source is, in 0..1."""
    index = np.minimum(np.floor(sources).astype(np.int64), axis.size - 1)
    return index, np.clip(sources - index.astype(axis.real), 0, 1)


def linear(axis: _Axis) -> Taps:
    if axis.out == axis.size:
        index, rest = np.arange(axis.out), np.zeros(axis.out, axis.real)
        return np.stack([index, index], 1), np.stack([1 - rest, rest], 1)
    index, rest = _base(axis, np.maximum(axis.sources(), 0))
    return np.stack([index, np.minimum(index + 1, axis.size - 1)], 1), np.stack([1 - rest, rest], 1)


def cubic(axis: _Axis) -> Taps:
    """Keys' kernel with a = -0.75 on the elements -1, 0, 1, 2 around the source.

    Eager keeps these weights in the data's own type, also for halves (linear ones in float32).
    """
    index, rest = _base(axis, axis.sources())
    taps = index[:, None] + np.arange(-1, 3)
    distance = np.abs(rest[:, None] - np.arange(-1, 3).astype(axis.real))
    return np.clip(taps, 0, axis.size - 1), _keys(distance, -0.75).astype(axis.stored)


def _keys(distance: np.ndarray, a: float) -> np.ndarray:
    """Keys' cubic convolution kernel at non-negative distances."""
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance < 1, near, np.where(distance < 2, far, 0))


class Filter(NamedTuple):
    """A symmetric resampling filter: its values at non-negative distances, and its support's width."""

    values: Callable[[np.ndarray], np.ndarray]
    width: int


TRIANGLE = Filter(lambda distance: np.maximum(1 - distance, 0), 2)
CUBIC = Filter(lambda distance: _keys(distance, -0.5), 4)
LANCZOS = Filter(lambda distance: np.where(distance < 3, np.sinc(distance) * np.sinc(distance / 3), 0), 6)


def antialiased(axis: _Axis, filter: Filter) -> Taps:
    """The filter stretched over the elements that one output element stands for, weights summing to one."""
    step = axis.step()
    stretch = max(step, axis.real.type(1))
    support = axis.real.type(filter.width * 0.5) * stretch
    half = axis.real.type(0.5)
    center = step * (np.arange(axis.out).astype(axis.real) + half)
    first = np.maximum((center - support + half).astype(np.int64), 0)
    last = np.minimum((center + support + half).astype(np.int64), axis.size)
    taps = first[:, None] + np.arange(max(int((last - first).max()), 1))
    distance = np.abs((taps - center[:, None] + half) * (axis.real.type(1) / stretch))
    weights = np.where(taps < last[:, None], filter.values(distance), np.nan).astype(axis.real)
    total = np.nansum(weights, axis=1, keepdims=True)
    weights = weights / np.where(total == 0, axis.real.type(1), total)
    return np.minimum(taps, axis.size - 1), weights


def _resize(axes: int, resize_axis: Callable[[Context, Value, int, _Axis], Value]) -> Callable:
    def emit(
        cx: Context,
        self: Value | None = None,
        input: Value | None = None,
        output_size: Sequence[int] | None = None,
        align_corners: bool = False,
        scales: float | None = None,
        scales_d: float | None = None,
        scales_h: float | None = None,
        scales_w: float | None = None,
        scale_factors: Sequence[float] | None = None,
    ) -> Value:
        """The sizes are those of the result; the factors count only where they were given."""
        given = self if self is not None else input
        assert given is not None
        factors = scale_factors or ((scales,) if axes == 1 else (scales_d, scales_h, scales_w)[-axes:])
        real = np.dtype(np.float64 if given.dtype in (DType.FLOAT64, DType.UINT8) else np.float32)
        value, stored = given, numpy_dtype(given.dtype) if given.dtype.is_floating else real
        for place in reversed(range(axes)):
            at = given.rank - axes + place
            axis = _Axis(given.shape[at], cx.out.shape[at], align_corners, factors[place], real, stored)
            value = resize_axis(cx, value, at, axis)
        return cx.convert(value, cx.out.dtype)

    return emit


def _by_nearest(shift: float) -> Callable[[Context, Value, int, _Axis], Value]:
    def resize_axis(cx: Context, value: Value, at: int, axis: _Axis) -> Value:
        if resize_any.is_of_any(axis):
            return resize_any.nearest(cx, value, at, axis, shift)
        return pick(cx, value, nearest(axis, shift), at)

    return resize_axis


def _by_taps(
    taps: Callable[[_Axis], Taps], of_any: Callable[[Context, _Axis], resize_any.Taps] | None = None
) -> Callable[[Context, Value, int, _Axis], Value]:
    """Weighted sums along an axis, in the type eager sums in; rounded once, after the last axis. Results of
    uint8 are rounded after each axis."""

    def resize_axis(cx: Context, value: Value, at: int, axis: _Axis) -> Value:
        if value.dtype is DType.UINT8:
            return value if axis.out == axis.size else _by_integers(cx, value, at, *taps(axis))
        value = cx.convert(value, cx.compute_dtype(value.dtype))
        if of_any is not None and resize_any.is_of_any(axis):
            return resize_any.weighted_sum(cx, value, at, of_any(cx, axis))
        return _weighted_sum(cx, value, at, *taps(axis))

    return resize_axis


def _weighted_sum(cx: Context, value: Value, at: int, indices: np.ndarray, weights: np.ndarray) -> Value:
    weights = weights.astype(numpy_dtype(value.dtype))
    if weights.shape[1] > 4 or np.isnan(weights).any():
        return _ragged_sum(cx, value, at, indices, weights)
    terms = []
    for tap in range(weights.shape[1]):
        picked = pick(cx, value, indices[:, tap], at)
        column = cx.broadcast_in_dim(cx.array(weights[:, tap]), picked.shape, (at,))
        terms.append(picked * column)
    return sum(terms[1:], start=terms[0])


def _by_integers(cx: Context, value: Value, at: int, indices: np.ndarray, weights: np.ndarray) -> Value:
    """As torch's kernels of uint8: the weights of 16 bits, with as many behind the point as the largest
    leaves; the sum rounded half up."""
    indices, weights, largest = _without_repeats(indices, np.nan_to_num(weights))
    bits = next((b for b in range(22) if int(largest * 2.0 ** (b + 1) + 0.5) >= 1 << 15), 22)
    whole = np.trunc(weights * 2.0**bits + np.copysign(0.5, weights)).astype(np.int32)
    total = _weighted_sum(cx, cx.convert(value, DType.INT32), at, indices, whole)
    rounded = total + (1 << (bits - 1))
    shifted = cx.shift_right_arithmetic(rounded, cx.constant(bits, DType.INT32))
    return cx.convert(cx.clamp(0, shifted, 255), DType.UINT8)


def _without_repeats(indices: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Taps on the same element, at the ends of the axis, made one; and the largest weight on the way."""
    rows, first = np.arange(len(indices)), indices[:, 0]
    merged = np.zeros_like(weights)
    largest = 0.0
    for tap in range(indices.shape[1]):
        merged[rows, indices[:, tap] - first] += weights[:, tap]
        largest = max(largest, float(merged.max()))
    return np.minimum(first[:, None] + np.arange(indices.shape[1]), indices.max()), merged, largest


def _ragged_sum(cx: Context, value: Value, at: int, indices: np.ndarray, weights: np.ndarray) -> Value:
    """Windows of different lengths: gather the longest, leave out what is not in a window."""
    windows = cx.take(value, cx.array(indices.astype(np.int32)), at)
    inside = cx.broadcast_in_dim(cx.array(~np.isnan(weights)), windows.shape, (at, at + 1))
    factors = cx.broadcast_in_dim(cx.array(np.nan_to_num(weights)), windows.shape, (at, at + 1))
    return cx.reduce_sum(cx.select(inside, windows * factors, 0), at + 1)


def _by_filter(filter: Filter) -> Callable[[Context, Value, int, _Axis], Value]:
    return _by_taps(lambda axis: antialiased(axis, filter))


_NEAREST, _EXACT, _LINEAR = _by_nearest(0.0), _by_nearest(0.5), _by_taps(linear, resize_any.linear)

# Family, axes, how one axis is resized.
_OVERLOADS = (
    *((f"upsample_nearest{axes}d", axes, _NEAREST) for axes in (1, 2, 3)),
    *((f"_upsample_nearest_exact{axes}d", axes, _EXACT) for axes in (1, 2, 3)),
    ("upsample_linear1d", 1, _LINEAR),
    ("upsample_bilinear2d", 2, _LINEAR),
    ("upsample_trilinear3d", 3, _LINEAR),
    ("upsample_bicubic2d", 2, _by_taps(cubic, resize_any.cubic)),
    ("_upsample_bilinear2d_aa", 2, _by_filter(TRIANGLE)),
    ("_upsample_bicubic2d_aa", 2, _by_filter(CUBIC)),
    ("_upsample_lanczos2d_aa", 2, _by_filter(LANCZOS)),
)

add_rules(
    (f"aten.{name}.{overload}", _resize(axes, resize_axis))
    for name, axes, resize_axis in _OVERLOADS
    for overload in ("default", "vec")
)
