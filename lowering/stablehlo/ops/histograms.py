"""Histograms over bins of equal width, over bins between given edges, and over grids of these."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from lowering.ir.types import DType
from lowering.stablehlo.context import ConcreteType, Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.value import Scalar, Value

INT64 = DType.INT64

# Up to here halves count without loss; eager counts in the type of the elements.
EXACT = {DType.FLOAT16: 1 << 11, DType.BFLOAT16: 1 << 8}


def _sums(cx: Context, places: Value, updates: Value, bins: int) -> Value:
    """Sums of the updates that belong to each bin; places from `bins` on lie outside, and are dropped."""
    if not places.size:
        return cx.constant(0, updates.dtype, (bins,))
    return cx.scatter(
        cx.constant(0, updates.dtype, (bins,)),
        cx.unsqueeze(places, 1),
        updates,
        lambda a, b: a + b,
        update_window_dims=[],
        inserted_dims=[0],
        scatter_map=[0],
    )


@lowers("aten.histc.default")
def histc(cx: Context, self: Value, bins: int, min: Scalar, max: Scalar) -> Value:
    """How many elements fall into each of `bins` equal parts of [min, max], or of the elements' own range."""
    dtype = self.dtype
    if self.size > EXACT.get(dtype, self.size):
        raise Unsupported("eager counts halves in halves, which end at some hundreds")
    values = cx.reshape(self, (self.size,))
    if not self.size:
        return cx.constant(0, dtype, (bins,))
    low, high = cx.constant(min, dtype), cx.constant(max, dtype)
    if min == max:
        low, high = cx.reduce_min(values), cx.reduce_max(values)
        if dtype.is_floating:
            cx.fail_if(~(cx.is_finite(low) & cx.is_finite(high)), "the range of the elements is not finite")

    def rounded(value: Value) -> Value:
        return cx.rounded(value, dtype)

    values, low, high = (cx.convert(v, cx.compute_dtype(dtype)) for v in (values, low, high))
    single = low == high
    low, high = cx.select(single, rounded(low - 1), low), cx.select(single, rounded(high + 1), high)
    # The order of eager's operations, and their roundings, decide where an element on an edge falls.
    count = rounded(cx.constant(bins, values.dtype))
    scaled = rounded(rounded(values - low) * count)
    width = cx.broadcast(rounded(high - low), values.shape)
    places = cx.minimum(cx.convert(rounded(scaled / width), INT64), bins - 1)
    places = cx.select((values >= low) & (values <= high), places, bins)
    return cx.convert(_sums(cx, places, cx.constant(1, INT64, places.shape), bins), dtype)


# ---- between edges ----


def _edges(cx: Context, values: Value, bins: int, bounds: Sequence[float] | None) -> Value:
    """The edges [bins + 1] of equal bins between two bounds, or over the range of the values [n]."""
    out = [ConcreteType(values.dtype, (bins + 1,))]
    if bounds is None and not values.size:
        bounds = (0.0, 1.0)
    if bounds is not None:
        low, high = bounds
        low, high = (low - 0.5, high + 0.5) if low == high else (low, high)
        return cx.call("aten.linspace.default", low, high, bins + 1, outs=out)
    low, high = cx.reduce_min(values), cx.reduce_max(values)
    cx.fail_if(~cx.is_finite(low) | ~cx.is_finite(high), "the range of a histogram is not finite")
    single = low == high
    low, high = cx.select(single, low - 0.5, low), cx.select(single, high + 0.5, high)
    return cx.call("aten.linspace.Tensor_Tensor", low, high, bins + 1, outs=out)


def _grid(cx: Context, points: Value, edges: Sequence[Value], weight: Value | None, density: bool) -> Value:
    """The histogram of points [m, axes] over the grid of these edges: counts, sums of weights [m], or
    densities. The last bin of each axis includes its right edge."""
    sizes = [edge.size - 1 for edge in edges]
    count = points.shape[0]
    place, inside = cx.constant(0, INT64, (count,)), cx.constant(True, DType.BOOL, (count,))
    for axis, (edge, size) in enumerate(zip(edges, sizes, strict=True)):
        values = cx.squeeze(cx.slice_axis(points, 1, axis, axis + 1), 1)
        after = ConcreteType(INT64, values.shape)
        bin = cx.call("aten.searchsorted.Tensor", edge, values, right=True, outs=[after]) - 1
        place = place * size + cx.clamp(0, bin, size - 1)
        first, last = cx.slice_axis(edge, 0, 0, 1), cx.slice_axis(edge, 0, size, size + 1)
        inside = inside & (values >= first) & (values <= last)
    total = prod(sizes)
    updates = cx.constant(1, INT64, (count,)) if weight is None else cx.reshape(weight, (count,))
    sums = _sums(cx, cx.select(inside, place, total), updates, total)
    result = cx.reshape(cx.convert(sums, points.dtype), tuple(sizes))
    if density:
        result = result / cx.reduce_sum(result)
        for axis, edge in enumerate(edges):
            widths = cx.slice_axis(edge, 0, 1, edge.size) - cx.slice_axis(edge, 0, 0, edge.size - 1)
            result = result / cx.reshape(widths, [-1 if a == axis else 1 for a in range(len(edges))])
    return result


@lowers("aten.histogram.bin_ct")
def histogram(
    cx: Context,
    self: Value,
    bins: int,
    range: Sequence[float] | None = None,
    weight: Value | None = None,
    density: bool = False,
) -> tuple[Value, Value]:
    values = cx.reshape(self, (self.size,))
    edges = _edges(cx, values, bins, range)
    return _grid(cx, cx.unsqueeze(values, 1), [edges], weight, density), edges


@lowers("aten.histogram.bins_tensor")
def histogram_between(
    cx: Context, self: Value, bins: Value, weight: Value | None = None, density: bool = False
) -> tuple[Value, Value]:
    return _grid(cx, cx.reshape(self, (self.size, 1)), [bins], weight, density), bins


def _points(cx: Context, value: Value) -> Value:
    return cx.reshape(value, (prod(value.shape[:-1]), value.shape[-1]))


def _grid_edges(
    cx: Context, points: Value, bins: Sequence[int], bounds: Sequence[float] | None
) -> list[Value]:
    pairs = [None] * len(bins) if bounds is None else np.reshape(bounds, (-1, 2)).tolist()
    columns = [cx.squeeze(cx.slice_axis(points, 1, a, a + 1), 1) for a in range(len(bins))]
    return [_edges(cx, *each) for each in zip(columns, bins, pairs, strict=True)]


@lowers("aten._histogramdd_bin_edges.default")
def grid_edges(
    cx: Context,
    self: Value,
    bins: Sequence[int],
    range: Sequence[float] | None = None,
    weight: Value | None = None,
    density: bool = False,
) -> tuple[Value, ...]:
    return tuple(_grid_edges(cx, _points(cx, self), bins, range))


@lowers("aten._histogramdd_from_bin_cts.default")
def grid_of_counts(
    cx: Context,
    self: Value,
    bins: Sequence[int],
    range: Sequence[float] | None = None,
    weight: Value | None = None,
    density: bool = False,
) -> Value:
    points = _points(cx, self)
    return _grid(cx, points, _grid_edges(cx, points, bins, range), weight, density)


@lowers("aten._histogramdd_from_bin_tensors.default")
def grid_between(
    cx: Context, self: Value, bins: Sequence[Value], weight: Value | None = None, density: bool = False
) -> Value:
    return _grid(cx, _points(cx, self), bins, weight, density)
