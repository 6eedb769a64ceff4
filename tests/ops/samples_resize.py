"""Calls of the resizes."""

from __future__ import annotations

import torch

from tests.ops.driver import Sample

_generator = torch.Generator().manual_seed(0)
X1, X2, X3 = (
    torch.randn(shape, generator=_generator) for shape in ((2, 3, 7), (2, 3, 6, 5), (1, 2, 4, 5, 3))
)
INF = X2.clone()
INF[0, 0, 2, 2] = float("inf")
INF[0, 1, 3, 1] = float("nan")
U8 = (X2 * 60 + 128).clamp(0, 255).to(torch.uint8)
FIXED_POINT = (
    *("upsample_bilinear2d", "upsample_bicubic2d"),
    *(f"_upsample_{filter}2d_aa" for filter in ("bilinear", "bicubic", "lanczos")),
)
BF16, F16, F64 = torch.bfloat16, torch.float16, torch.float64

# Upwards by integers and not, downwards by integers and not, sizes kept, one element.
SIZES1 = [[14], [21], [7], [10], [3], [1], [23]]
SIZES2 = [[12, 10], [9, 13], [3, 5], [6, 5], [4, 2], [1, 1], [18, 3]]
SIZES3 = [[8, 10, 6], [3, 7, 4], [4, 2, 9], [1, 1, 1]]
FACTORS2 = [[2.0, 2.0], [1.3, 1.7], [0.6, 0.7], [2.5, 0.5]]
DTYPES = [BF16, F16, F64]


def _nearest(name: str) -> list[Sample]:
    return [
        *(Sample(f"aten.{name}1d.default", (X1, size)) for size in SIZES1),
        *(Sample(f"aten.{name}2d.default", (X2, size)) for size in SIZES2),
        *(Sample(f"aten.{name}3d.default", (X3, size)) for size in SIZES3),
        Sample(f"aten.{name}1d.default", (X1, [10], 1.5)),
        Sample(f"aten.{name}2d.default", (X2, [8, 8], 1.4, 1.7)),
        Sample(f"aten.{name}3d.default", (X3, [6, 8, 4], 1.6, 1.7, 1.5)),
        *(Sample(f"aten.{name}2d.default", (X2.to(dtype), [9, 13])) for dtype in DTYPES),
        Sample(f"aten.{name}2d.default", (U8, [9, 13])),
        Sample(f"aten.{name}1d.vec", (X1, None, [1.6])),
        Sample(f"aten.{name}1d.vec", (X1, [10], None)),
        *(Sample(f"aten.{name}2d.vec", (X2, None, factors)) for factors in FACTORS2),
        Sample(f"aten.{name}2d.vec", (X2, [9, 13], None)),
        Sample(f"aten.{name}3d.vec", (X3, None, [1.6, 0.7, 2.5])),
    ]


def _planes(name: str, sizes: list[list[int]], dtypes: list[torch.dtype]) -> list[Sample]:
    """Calls of a family over two axes."""
    return [
        *(Sample(f"aten.{name}.default", (X2, size, align)) for size in sizes for align in (False, True)),
        Sample(f"aten.{name}.default", (X2, [8, 8], False, 1.4, 1.7)),
        Sample(f"aten.{name}.default", (X2, [8, 8], True, 1.4, 1.7)),
        Sample(f"aten.{name}.default", (INF, [9, 13], False)),
        *(Sample(f"aten.{name}.default", (X2.to(dtype), [9, 13], False)) for dtype in dtypes),
        *(
            Sample(f"aten.{name}.vec", (X2, None, align, factors))
            for factors in FACTORS2
            for align in (False, True)
        ),
        Sample(f"aten.{name}.vec", (X2, [9, 13], False, None)),
    ]


SAMPLES = [
    *_nearest("upsample_nearest"),
    *_nearest("_upsample_nearest_exact"),
    *(
        Sample("aten.upsample_linear1d.default", (X1, size, align))
        for size in SIZES1
        for align in (False, True)
    ),
    Sample("aten.upsample_linear1d.default", (X1, [10], False, 1.5)),
    Sample("aten.upsample_linear1d.vec", (X1, None, False, [1.6])),
    *_planes("upsample_bilinear2d", SIZES2, DTYPES),
    *(
        Sample("aten.upsample_trilinear3d.default", (X3, size, align))
        for size in SIZES3
        for align in (False, True)
    ),
    Sample("aten.upsample_trilinear3d.vec", (X3, None, False, [1.6, 0.7, 2.5])),
    *_planes("upsample_bicubic2d", SIZES2, DTYPES),
    *_planes("_upsample_bilinear2d_aa", SIZES2, [F64]),
    *_planes("_upsample_bicubic2d_aa", SIZES2, [F64]),
    *_planes("_upsample_lanczos2d_aa", SIZES2, [F64]),
    # Rounded as torch's fixed-point kernels do: not off by one anywhere.
    *(
        Sample(f"aten.{name}.default", (U8, size, align, *factors), rtol=0, atol=0)
        for name in FIXED_POINT
        for size, factors in (([12, 10], ()), ([3, 9], (0.6, 1.7)), ([6, 2], ()), ([1, 40], ()))
        for align in (False, True)
    ),
]
