"""Calls of the shuffles, im2col and col2im."""

from __future__ import annotations

import torch

from tests.ops.driver import Sample

_generator = torch.Generator().manual_seed(0)


def _t(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=_generator)


X = torch.arange(2 * 8 * 6 * 4, dtype=torch.float32).reshape(2, 8, 6, 4)
I64, BF16 = X.to(torch.int64), X.to(torch.bfloat16)

SAMPLES = [
    Sample("aten.pixel_shuffle.default", (X, 2)),
    Sample("aten.pixel_shuffle.default", (I64[0], 2)),
    Sample("aten.pixel_shuffle.default", (X[None, :, :4] > 7, 2)),
    Sample("aten.pixel_unshuffle.default", (X, 2)),
    Sample("aten.pixel_unshuffle.default", (BF16[0], 2)),
    Sample("aten.channel_shuffle.default", (X, 4)),
    Sample("aten.channel_shuffle.default", (I64[..., 0], 2)),
    Sample("aten.native_channel_shuffle.default", (X, 2)),
    Sample("aten.im2col.default", (X, [3, 2], [1, 1], [0, 0], [1, 1])),
    Sample("aten.im2col.default", (X, [2, 2], [2, 1], [1, 1], [2, 1])),
    Sample("aten.im2col.default", (X[0], [2, 2], [1, 1], [0, 0], [2, 2])),
    Sample("aten.im2col.default", (BF16, [3, 3], [1, 1], [1, 1], [1, 1])),
    Sample("aten.col2im.default", (X[:, :, :, 0].repeat(1, 3, 1), [4, 4], [2, 2], [1, 1], [0, 0], [2, 1])),
    Sample("aten.col2im.default", (_t(2, 12, 20), [4, 5], [3, 2], [1, 2], [1, 1], [1, 1])),
    Sample("aten.col2im.default", (_t(12, 6), [6, 4], [2, 2], [1, 1], [0, 0], [2, 2])),
    Sample("aten.col2im.default", (_t(2, 12, 12), [7, 8], [2, 3], [2, 1], [1, 0], [2, 2])),
]
