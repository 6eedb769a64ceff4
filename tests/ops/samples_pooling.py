"""Calls of the poolings."""

from __future__ import annotations

import torch

from tests.ops.driver import Sample

_generator = torch.Generator().manual_seed(0)


def _t(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=_generator).to(dtype)


X1, X2, X3 = _t(2, 3, 11), _t(2, 3, 10, 9), _t(1, 2, 6, 7, 5)
# Many equal values, infinities, NaN: what decides which index is returned.
TIES = torch.randint(0, 2, (1, 2, 8, 8), generator=_generator).float()
SPECIAL = TIES.clone()
SPECIAL[0, 0, 1:3, 2:5] = float("nan")
SPECIAL[0, 1] = float("-inf")
SPECIAL[0, 1, 6, 6] = float("inf")
I64, I32, U8 = ((X2 * 20).to(dtype) for dtype in (torch.int64, torch.int32, torch.uint8))
BF16, F16, F64 = torch.bfloat16, torch.float16, torch.float64


def _forms(name: str, axes: int, x: torch.Tensor) -> list[Sample]:
    """Kernel, stride, padding, dilation, ceil_mode of a max pool."""
    target = f"aten.{name}.default"
    last = [2, 3, 2][:axes]
    return [
        Sample(target, (x, [3] * axes, [2] * axes, [1] * axes)),
        Sample(target, (x, [2] * axes)),
        Sample(target, (x, [3], [2], [1], [1], True)),
        Sample(target, (x, last, [1] * axes, [0] * axes, [2] * axes)),
        Sample(target, (x, last, last, [1] * axes, [1] * axes, True)),
        Sample(target, (x[0], [2] * axes, [1] * axes)),
    ]


_MAX = dict(enumerate((X1, X2, X3), 1))
_TYPED = [X2.to(BF16), X2.to(F16), X2.to(F64), I64, I32, U8, SPECIAL, TIES]
_SMALL = torch.tensor([[[[0, 3], [5, 4]], [[3, 0], [10, 11]]]])

# One window along an axis, with more behind it; the first of each overload is IREE's.
_ONE = [
    Sample(f"aten.{name}.default", (X1[:, :, :5], [4], [2], [padding]))
    for name in ("avg_pool1d", "max_pool1d", "max_pool1d_with_indices")
    for padding in (0, 1)
]
_ONE += [
    Sample("aten.avg_pool3d.default", (X3[:, :, :3, :4, :3], [2])),
    Sample("aten.max_pool3d_with_indices.default", (X3[:, :, :3, :4, :3], [2])),
]

SAMPLES = [
    *_ONE,
    *(sample for n, x in _MAX.items() for sample in _forms(f"max_pool{n}d", n, x)),
    *(sample for n, x in _MAX.items() for sample in _forms(f"max_pool{n}d_with_indices", n, x)),
    *(Sample("aten.max_pool2d.default", (x, [3, 3], [1, 1], [1, 1])) for x in _TYPED),
    *(Sample("aten.max_pool2d_with_indices.default", (x, [3, 3], [1, 1], [1, 1])) for x in _TYPED),
    Sample("aten.max_pool2d_with_indices.default", (X2[:0], [2, 2])),
    Sample("aten.avg_pool1d.default", (X1, [3], [2], [1])),
    Sample("aten.avg_pool1d.default", (X1, [3])),
    Sample("aten.avg_pool1d.default", (X1[0], [2], [2], [1], True, False)),
    Sample("aten.avg_pool1d.default", (X1, [3], [2], [1], True, True)),
    Sample("aten.avg_pool2d.default", (X2, [3, 2], [2, 2], [1, 1])),
    Sample("aten.avg_pool2d.default", (X2, [2])),
    Sample("aten.avg_pool2d.default", (X2, [3, 2], [2, 2], [1, 1], False, False)),
    Sample("aten.avg_pool2d.default", (X2, [4, 4], [3, 3], [2, 2], True, False)),
    Sample("aten.avg_pool2d.default", (X2, [4, 4], [3, 3], [2, 2], True, True)),
    Sample("aten.avg_pool2d.default", (X2, [3, 2], [2, 2], [1, 1], True, True, 5)),
    Sample("aten.avg_pool2d.default", (X2[0], [3, 2], [1], [0], False, False, -2)),
    Sample("aten.avg_pool2d.default", (X2.to(BF16), [3, 3], [1, 1], [1, 1], False, False)),
    Sample("aten.avg_pool2d.default", (X2.to(F16), [3, 3])),
    Sample("aten.avg_pool2d.default", (X2.to(F64), [3, 3])),
    Sample("aten.avg_pool2d.default", (I64, [3, 3])),
    Sample("aten.avg_pool2d.default", (SPECIAL, [3, 3], [1, 1], [1, 1])),
    Sample("aten.avg_pool3d.default", (X3, [2, 3, 2], [2, 1, 2], [1, 1, 0])),
    Sample("aten.avg_pool3d.default", (X3, [2], [3], [1], True, False)),
    Sample("aten.avg_pool3d.default", (X3, [2], [3], [1], True, True)),
    Sample("aten.avg_pool3d.default", (X3[0], [2, 2, 2], (), [0], False, True, 3)),
    Sample("aten.adaptive_avg_pool1d.default", (X1, [4])),
    Sample("aten.adaptive_avg_pool1d.default", (X1, [1])),
    *(
        Sample(f"aten.{name}.default", arguments)
        for name in ("adaptive_avg_pool2d", "_adaptive_avg_pool2d")
        for arguments in (
            (X2, [4, 5]), (X2, [1, 1]), (X2, [5, 3]), (X2, [13, 4]), (X2[0], [1, 2]), (X2.to(BF16), [3, 3]),
            (X2.to(F64), [3, 3]), (SPECIAL, [3, 3]), (X2[:0], [3, 3]), (X2.to(F16), [1, 1]),
        )
    ),
    *(
        Sample(f"aten.{name}.default", arguments)
        for name in ("adaptive_avg_pool3d", "_adaptive_avg_pool3d")
        for arguments in ((X3, [4, 5, 2]), (X3, [1, 1, 1]), (X3[0], [3, 7, 6]))
    ),
    Sample("aten.adaptive_max_pool1d.default", (X1, [4])),
    Sample("aten.adaptive_max_pool2d.default", (X2, [4, 5])),
    Sample("aten.adaptive_max_pool2d.default", (X2[0], [5, 3])),
    Sample("aten.adaptive_max_pool2d.default", (TIES, [3, 4])),
    Sample("aten.adaptive_max_pool2d.default", (SPECIAL, [3, 5])),
    Sample("aten.adaptive_max_pool2d.default", (X2.to(BF16), [1, 1])),
    Sample("aten.adaptive_max_pool3d.default", (X3, [4, 5, 2])),
    Sample("aten.adaptive_max_pool3d.default", (X3, [1, 1, 1])),
    Sample("aten.max_unpool2d.default", (_t(1, 2, 2, 2), _SMALL, [4, 4])),
    Sample("aten.max_unpool2d.default", (_t(2, 2, 2), _SMALL[0], [3, 5])),
    Sample(
        "aten.max_unpool3d.default",
        (_t(1, 2, 1, 2, 2), _SMALL[:, :, None], [2, 3, 3], [2, 2, 2], [0, 0, 0]),
    ),
]  # fmt: skip
