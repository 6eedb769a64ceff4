"""Rearrangements of channels, pixels and patches: shuffles, im2col, col2im."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lowering.stablehlo.context import Context
from lowering.stablehlo.ops.spatial import per_axis
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.value import Value


@lowers("aten.pixel_shuffle.default")
def pixel_shuffle(cx: Context, self: Value, upscale_factor: int) -> Value:
    """[..., C*r*r, H, W] to [..., C, H*r, W*r]."""
    *batch, channels, height, width = self.shape
    r, n = upscale_factor, len(batch)
    split = cx.reshape(self, (*batch, channels // (r * r), r, r, height, width))
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return cx.reshape(cx.transpose(split, order), cx.out.shape)


@lowers("aten.pixel_unshuffle.default")
def pixel_unshuffle(cx: Context, self: Value, downscale_factor: int) -> Value:
    """[..., C, H*r, W*r] to [..., C*r*r, H, W]."""
    *batch, channels, height, width = self.shape
    r, n = downscale_factor, len(batch)
    split = cx.reshape(self, (*batch, channels, height // r, r, width // r, r))
    order = (*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return cx.reshape(cx.transpose(split, order), cx.out.shape)


@lowers("aten.channel_shuffle.default", "aten.native_channel_shuffle.default")
def channel_shuffle(cx: Context, self: Value, groups: int) -> Value:
    """Channel g*k + i becomes channel i*groups + g."""
    batch, channels, *space = self.shape
    split = cx.reshape(self, (batch, groups, channels // groups, *space))
    return cx.reshape(cx.transpose(split, (0, 2, 1, *range(3, split.rank))), self.shape)


@lowers("aten.im2col.default")
def im2col(
    cx: Context, self: Value, kernel_size: Sequence[int], dilation: Sequence[int], padding: Sequence[int],
    stride: Sequence[int],
) -> Value:  # fmt: skip
    """[N, C, H, W] to [N, C*kh*kw, positions], every sliding window a column."""
    pads = per_axis(padding, 2)
    zeros = [0] * (self.rank - 2)
    windows = cx.pad(self, [*zeros, *pads], [*zeros, *pads])
    for axis, at in ((0, self.rank - 2), (1, self.rank)):  # by the second, the first has become two
        indices = _positions(windows.shape[at], axis, kernel_size, dilation, stride)
        windows = cx.take(windows, cx.array(indices.astype(np.int32)), at)
    n = self.rank - 2
    return cx.reshape(cx.transpose(windows, (*range(n), n, n + 2, n + 1, n + 3)), cx.out.shape)


def _positions(
    size: int, axis: int, kernel: Sequence[int], dilation: Sequence[int], stride: Sequence[int]
) -> np.ndarray:
    """The index that element k of window p reads along an axis of this padded size: [kernel, windows]."""
    taps, step, move = (per_axis(value, 2)[axis] for value in (kernel, dilation, stride))
    windows = (size - step * (taps - 1) - 1) // move + 1
    return np.arange(taps)[:, None] * step + np.arange(windows) * move


@lowers("aten.col2im.default")
def col2im(
    cx: Context, self: Value, output_size: Sequence[int], kernel_size: Sequence[int], dilation: Sequence[int],
    padding: Sequence[int], stride: Sequence[int],
) -> Value:  # fmt: skip
    """The transpose of im2col: overlapping elements add up."""
    kernel, dilation, padding, stride = (
        per_axis(value, 2) for value in (kernel_size, dilation, padding, stride)
    )
    batch = self.shape[:-2]
    channels = self.shape[-2] // (kernel[0] * kernel[1])
    counts = [
        (output_size[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)
    ]
    value = cx.convert(self, cx.compute_dtype(self.dtype))
    value = cx.reshape(value, (*batch, channels, *kernel, *counts))
    n = len(batch) + 1
    value = cx.transpose(value, (*range(n), n, n + 2, n + 1, n + 3))
    for axis in (1, 0):
        value = _spread(
            cx, value, n + 2 * axis, output_size[axis], dilation[axis], padding[axis], stride[axis]
        )
    return cx.convert(value, cx.out.dtype)


def _spread(cx: Context, value: Value, at: int, size: int, dilation: int, padding: int, stride: int) -> Value:
    """Sum [.., taps, windows, ..] at `at` into one axis: tap k of window p lands on p*stride + k*dilation."""
    taps, windows = value.shape[at], value.shape[at + 1]
    span = max((windows - 1) * stride + 1, 0)
    total: Value | None = None
    for tap in range(taps):
        row = cx.squeeze(cx.slice_axis(value, at, tap, tap + 1), at)
        low = [0] * row.rank
        high, gaps = list(low), list(low)
        low[at], gaps[at] = tap * dilation, stride - 1
        high[at] = size + 2 * padding - span - tap * dilation
        spread = cx.pad(row, low, high, 0, gaps)
        total = spread if total is None else total + spread
    assert total is not None
    return cx.slice_axis(total, at, padding, padding + size)
