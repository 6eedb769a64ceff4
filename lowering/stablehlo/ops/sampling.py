"""Sampling an image at coordinates that are data: grid_sampler, and the grids of affine maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import prod

import numpy as np

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.symbolic import is_symbolic
from lowering.stablehlo.value import Value, numpy_dtype

ZEROS, BORDER, REFLECTION = range(3)
BILINEAR, NEAREST, BICUBIC = range(3)


@lowers("aten.grid_sampler.default", "aten.grid_sampler_2d.default", "aten.grid_sampler_3d.default")
def grid_sampler(
    cx: Context, input: Value, grid: Value, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Value:
    """`input` [N, C, space...], `grid` [N, points..., axes] in -1..1, the last axis first."""
    if input.dtype.is_half:
        raise Unsupported(f"torch samples {input.dtype} with {input.dtype} coordinates, step by step rounded")
    sizes = input.shape[2:]
    axes = len(sizes)
    if interpolation_mode == BICUBIC and axes != 2:
        raise Unsupported("bicubic sampling of a volume")
    coordinates = []
    for axis, size in enumerate(sizes):
        at = cx.squeeze(cx.slice_axis(grid, -1, axes - 1 - axis, axes - axis), -1)
        coordinates.append(_unnormalise(cx, at, size, align_corners))

    def place(at: Value, size: int) -> Value:
        return _into_image(cx, at, size, padding_mode, align_corners)

    if interpolation_mode == BICUBIC:
        taps = [_cubic_taps(cx, at, size, place) for at, size in zip(coordinates, sizes, strict=True)]
    else:
        placed = [place(at, size) for at, size in zip(coordinates, sizes, strict=True)]
        split = _nearest_tap if interpolation_mode == NEAREST else _linear_taps
        taps = [split(cx, at) for at in placed]
    return _weighted_sum(cx, input, taps)


# Per axis the whole-numbered coordinates read, each with its weight (None is one).
Tap = tuple[Value, Value | None]


def _weighted_sum(cx: Context, input: Value, taps: Sequence[Sequence[Tap]]) -> Value:
    """Sum of the elements at every combination of taps; elements outside the image count as zero."""
    batch, channels, *sizes = input.shape
    axes = len(sizes)
    channels_last = cx.transpose(input, (0, *range(2, 2 + axes), 1))
    rows = cx.reshape(channels_last, (batch * prod(sizes), channels))
    points = taps[0][0][0].shape
    images = cx.iota(DType.INT64, points, 0)
    total: Value | None = None
    for combination in product(*taps):
        index, inside, weight = images, None, None
        for (at, factor), size in zip(combination, sizes, strict=True):
            within = (at >= 0) & (at <= size - 1)
            whole = cx.convert(cx.select(within, at, 0), DType.INT64)
            index = index * size + whole
            inside = within if inside is None else inside & within
            if factor is not None:
                weight = factor if weight is None else weight * factor
        assert inside is not None
        shape = (*points, channels)
        leading = tuple(range(len(points)))
        value = cx.select(cx.broadcast_in_dim(inside, shape, leading), cx.take(rows, index), 0)
        if weight is not None:
            value = value * cx.broadcast_in_dim(weight, shape, leading)
        total = value if total is None else total + value
    assert total is not None
    return cx.move_axis(total, -1, 1)


def _unnormalise(cx: Context, at: Value, size: int, align_corners: bool) -> Value:
    """-1..1 to elements: the corners' centres, or with their outer edges, at the ends."""
    if align_corners:
        return (at + 1.0) * _half(cx, size - 1, at.dtype)
    return (at + 1.0) * _half(cx, size, at.dtype) - 0.5


def _half(cx: Context, size: int, dtype: DType) -> Value | float:
    """Half a size, which is exact."""
    return cx.constant(size, dtype) * 0.5 if is_symbolic(size) else size / 2


def _into_image(cx: Context, at: Value, size: int, padding_mode: int, align_corners: bool) -> Value:
    """Clip or reflect coordinates into the image; with zeros they stay where they are."""
    if padding_mode == ZEROS:
        return at
    if padding_mode == REFLECTION:
        at = _reflect(cx, at, *((0, 2 * (size - 1)) if align_corners else (-1, 2 * size - 1)))
    return cx.clamp(0, at, size - 1)


def _reflect(cx: Context, at: Value, twice_low: int, twice_high: int) -> Value:
    """Mirror at both bounds, which are given doubled, as often as it takes."""
    if twice_low == twice_high:
        return cx.constant(0, at.dtype, at.shape)
    low, span = twice_low / 2, _half(cx, twice_high - twice_low, at.dtype)
    distance = cx.abs(at - low)
    rest = cx.remainder(distance, span)
    flips = cx.floor(distance / span)
    odd = cx.remainder(flips, 2.0) == 1.0
    return cx.select(odd, span - rest, rest) + low


def _nearest_tap(cx: Context, at: Value) -> list[Tap]:
    return [(cx.round_even(at), None)]


def _linear_taps(cx: Context, at: Value) -> list[Tap]:
    below = cx.floor(at)
    rest = at - below
    return [(below, 1.0 - rest), (below + 1.0, rest)]


def _cubic_taps(cx: Context, at: Value, size: int, place: Callable[[Value, int], Value]) -> list[Tap]:
    """Keys' kernel, a = -0.75, on the four elements around, each clipped or reflected by itself."""
    below = cx.floor(at)
    rest = at - below
    a = -0.75

    def near(x: Value) -> Value:
        return ((a + 2) * x - (a + 3)) * x * x + 1.0

    def far(x: Value) -> Value:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    weights = [far(rest + 1.0), near(rest), near(1.0 - rest), far(2.0 - rest)]
    return [(place(below + float(k - 1), size), weight) for k, weight in enumerate(weights)]


@lowers("aten.affine_grid_generator.default")
def affine_grid(cx: Context, theta: Value, size: Sequence[int], align_corners: bool) -> Value:
    """theta [N, axes, axes + 1] applied to every element's centre; the last axis's coordinate first."""
    sizes = tuple(size[2:])
    real = numpy_dtype(cx.compute_dtype(theta.dtype))
    ranges = []
    for count in reversed(sizes):
        at = np.linspace(-1, 1, count, dtype=real) if count > 1 else np.zeros(1, real)
        ranges.append(at if align_corners or count < 1 else at * real.type((count - 1) / count))
    planes = np.meshgrid(*reversed(ranges), indexing="ij")
    base = np.stack([*reversed(planes), np.ones(sizes, real)], axis=-1)
    points = cx.convert(cx.array(base.reshape(-1, base.shape[-1])), theta.dtype)
    grid = cx.dot_general(theta, points, ((2,), (1,)))
    grid = cx.reshape(cx.transpose(grid, (0, 2, 1)), cx.out.shape)
    return cx.convert(grid, cx.out.dtype)
