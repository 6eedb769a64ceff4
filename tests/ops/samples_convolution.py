"""Calls of the convolutions."""

from __future__ import annotations

import torch

from tests.ops.driver import Sample

_generator = torch.Generator().manual_seed(0)


def _t(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=_generator, dtype=torch.float32).to(dtype)


def _i(*shape: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
    return torch.randint(-5, 6, shape, generator=_generator).to(dtype)


X1, W1 = _t(2, 4, 11), _t(6, 4, 3)
X2, W2 = _t(2, 4, 9, 8), _t(6, 4, 3, 2)
X3, W3 = _t(1, 2, 5, 6, 4), _t(4, 2, 2, 3, 2)
B4, B6 = _t(4), _t(6)
BF16, F16, F64, C64 = torch.bfloat16, torch.float16, torch.float64, torch.complex64

SAMPLES = [
    # One window along each axis, with an element and with padding behind it; the first is IREE's too.
    Sample("aten.conv2d.default", (_t(1, 4, 5, 3), _t(3, 4, 4, 4), None, [2], [0, 1]), name="one window"),
    Sample("aten.conv1d.default", (X1, W1, B6)),
    Sample("aten.conv1d.default", (X1, W1, None, [2], [3], [2])),
    Sample("aten.conv1d.default", (X1[0], W1, B6, [1], [1])),
    Sample("aten.conv1d.default", (X1, _t(8, 2, 3), None, [1], [1], [1], 2)),
    Sample("aten.conv1d.padding", (X1, _t(6, 4, 4), B6, [1], "same")),
    Sample("aten.conv1d.padding", (X1, W1, B6, [2], "valid", [2])),
    Sample("aten.conv2d.default", (X2, W2, B6, [2, 1], [1, 2])),
    Sample("aten.conv2d.default", (X2, W2)),
    Sample("aten.conv2d.default", (X2, W2, None, [2], [1], [2])),
    Sample("aten.conv2d.default", (X2[0], W2, B6)),
    Sample("aten.conv2d.default", (X2, _t(4, 1, 3, 3), B4, [1], [1], [1], 4), name="depthwise"),
    Sample("aten.conv2d.default", (X2, _t(8, 1, 3, 3), None, [2], [1], [1], 4), name="depthwise, multiplied"),
    Sample("aten.conv2d.default", (X2, _t(6, 2, 3, 3), B6, [1], [2], [2], 2), name="groups"),
    Sample("aten.conv2d.default", (X2[:0], W2, B6), name="no batch"),
    Sample("aten.conv2d.default", (X2.to(BF16), W2.to(BF16), B6.to(BF16))),
    Sample("aten.conv2d.default", (X2.to(F16), W2.to(F16), B6.to(F16))),
    Sample("aten.conv2d.default", (X2.to(F64), W2.to(F64), B6.to(F64))),
    Sample("aten.conv2d.default", (_t(1, 2, 5, 5, dtype=C64) * (1 + 2j), _t(3, 2, 2, 2, dtype=C64) * 1j)),
    Sample("aten.conv2d.default", (_i(1, 2, 5, 5), _i(3, 2, 2, 2), _i(3))),
    Sample("aten.conv2d.default", (_i(1, 2, 5, 5, dtype=torch.int32), _i(3, 2, 2, 2, dtype=torch.int32))),
    Sample("aten.conv2d.padding", (X2, W2, B6, [1, 1], "same", [1, 2])),
    Sample("aten.conv2d.padding", (X2, W2, B6, [2, 1], "valid")),
    Sample("aten.conv3d.default", (X3, W3, B4, [1, 2, 1], [1, 0, 1])),
    Sample("aten.conv3d.default", (X3, _t(4, 1, 2, 2, 2), None, [1], [0], [2], 2)),
    Sample("aten.conv3d.padding", (X3, W3, None, [1], "same")),
    Sample("aten.convolution.default", (X2, W2, B6, [1, 1], [1, 0], [1, 1], False, [0, 0], 1)),
    Sample("aten.convolution.default", (X1, W1, None, [2], [1], [1], False, [0], 1)),
    Sample("aten.convolution.default", (X2, _t(4, 3, 3, 3), B6, [2, 2], [1, 1], [1, 1], True, [1, 1], 2)),
    Sample(
        "aten._convolution.default",
        (X2, W2, B6, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, False, False, True, True),
    ),
    Sample(
        "aten._convolution.deprecated",
        (X2, W2, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, False, False, True),
    ),
    Sample("aten.conv_transpose1d.default", (X1, _t(4, 5, 3), _t(5), [2], [1], [1])),
    Sample("aten.conv_transpose1d.default", (X1[0], _t(4, 5, 3))),
    Sample("aten.conv_transpose1d.default", (X1, _t(4, 5, 1), None, [1], [1]), name="crops"),
    Sample("aten.conv_transpose2d.input", (X2, _t(4, 3, 3, 3), _t(3), [2, 2], [1, 1], [1, 0])),
    Sample("aten.conv_transpose2d.input", (X2, _t(4, 3, 3, 2), B6, [3, 2], [0, 1], [1, 1], 2, [2, 1])),
    Sample("aten.conv_transpose2d.input", (X2, _t(4, 1, 3, 3), B4, [2], [1], [1], 4), name="depthwise back"),
    Sample("aten.conv_transpose2d.input", (X2, _t(4, 3, 2, 2), None, [2], [2], [1]), name="crops unevenly"),
    Sample("aten.conv_transpose2d.input", (X2.to(BF16), _t(4, 3, 3, 3, dtype=BF16), None, [2])),
    Sample("aten.conv_transpose2d.input", (X2.to(F64), _t(4, 3, 3, 3, dtype=F64), None, [2])),
    Sample("aten.conv_transpose3d.input", (X3, _t(2, 3, 2, 2, 2), _t(3), [1, 2, 2], [0, 1, 0], [0, 1, 0])),
    Sample("aten.conv_tbc.default", (_t(7, 2, 4), _t(3, 4, 5), _t(5), 1)),
    Sample("aten.thnn_conv2d.default", (X2, W2, [3, 2], B6, [1, 1], [1, 1])),
    Sample("aten._slow_conv2d_forward.default", (X2, W2, [3, 2], None, [1, 1], [0, 0])),
    Sample("aten.slow_conv_dilated2d.default", (X2, W2, [3, 2], B6, [1, 1], [1, 1], [2, 2])),
    Sample("aten.slow_conv3d.default", (X3, W3, [2, 3, 2], B4)),
    Sample("aten.slow_conv3d_forward.default", (X3, W3, [2, 3, 2], None, [1, 1, 1], [0, 0, 0])),
    Sample("aten.slow_conv_transpose2d.default", (X2, _t(4, 3, 3, 3), [3, 3], _t(3), [2, 2], [1, 1], [1, 0])),
    Sample("aten.slow_conv_transpose3d.default", (X3, _t(2, 3, 2, 2, 2), [2, 2, 2], None, [2, 2, 2])),
]
