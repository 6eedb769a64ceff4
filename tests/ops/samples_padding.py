"""Calls of the paddings."""

from __future__ import annotations

import torch

from tests.ops.driver import Sample

X1 = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
X2 = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).reshape(2, 3, 4, 5)
X3 = torch.arange(1 * 2 * 3 * 4 * 3, dtype=torch.float32).reshape(1, 2, 3, 4, 3)
I64, U8, BOOL = X2.to(torch.int64), X2.to(torch.uint8), X2 % 2 == 0
NAN = float("nan")

SAMPLES = [
    Sample("aten.constant_pad_nd.default", (X2, [1, 2, 0, 3])),
    Sample("aten.constant_pad_nd.default", (X2, [1, 0], 2.5)),
    Sample("aten.constant_pad_nd.default", (X2, [-1, 2, 1, -2, 0, -1], -1)),
    Sample("aten.constant_pad_nd.default", (X2, [-2, -3]), name="crops to nothing"),
    Sample("aten.constant_pad_nd.default", (X2[:, :0], [1, 1, 1, 1, 2, 1], NAN), name="pads nothing"),
    Sample("aten.constant_pad_nd.default", (X2, [1, 1], float("-inf"))),
    Sample("aten.constant_pad_nd.default", (I64, [1, 1, 2, 2], -7)),
    Sample("aten.constant_pad_nd.default", (U8, [1, 1], 255)),
    Sample("aten.constant_pad_nd.default", (BOOL, [1, 1], True)),
    Sample("aten.constant_pad_nd.default", (X1.to(torch.bfloat16), [1, 1], 0.1)),
    Sample("aten.constant_pad_nd.default", (X1.to(torch.float64), [1, 1], 0.1)),
    Sample("aten.constant_pad_nd.default", (X1.to(torch.complex64), [1, 1], 1.5)),
    Sample("aten.pad.default", (X2, [1, 2, 3, 0])),
    Sample("aten.pad.default", (X2, [1, 2], "constant", 3.0)),
    Sample("aten.pad.default", (X2, [1, 2, 3, 1], "reflect")),
    Sample("aten.pad.default", (X1, [4, 0], "reflect")),
    Sample("aten.pad.default", (X2, [7, 2, 3, 1], "replicate")),
    Sample("aten.pad.default", (X3, [1, 2, 3, 1, 0, 2], "circular")),
    Sample("aten.pad.default", (X2, [5, 5, 1, 0], "circular")),
    Sample("aten._pad_circular.default", (X2, [1, 2, 3, 1])),
    *(Sample("aten._pad_enum.default", (X2, [1, 2, 3, 1], mode)) for mode in range(3)),
    Sample("aten._pad_enum.default", (X2, [1, 2], 3, 1.5)),
    Sample("aten.reflection_pad1d.default", (X1, [2, 4])),
    Sample("aten.reflection_pad1d.default", (X1[0], [0, 1])),
    Sample("aten.reflection_pad1d.default", (X1, [-1, 2])),
    Sample("aten.reflection_pad2d.default", (X2, [4, 1, 0, 3])),
    Sample("aten.reflection_pad2d.default", (X2[0].to(torch.bfloat16), [1, 1, 1, 1])),
    Sample("aten.reflection_pad2d.default", (X2, [2, -1, -1, 1])),
    Sample("aten.reflection_pad3d.default", (X3, [1, 2, 3, 0, 2, 1])),
    Sample("aten.replication_pad1d.default", (X1, [2, 6])),
    Sample("aten.replication_pad1d.default", (X1, [-2, 1])),
    Sample("aten.replication_pad2d.default", (X2, [6, 1, 0, 3])),
    Sample("aten.replication_pad2d.default", (X2[0].to(torch.float64), [1, 1, 1, 1])),
    Sample("aten.replication_pad3d.default", (X3, [1, 2, 3, 0, 2, 1])),
]
