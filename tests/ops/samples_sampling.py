"""Calls of grid samplers and affine grids."""

from __future__ import annotations

import torch

from tests.ops.driver import Sample

_generator = torch.Generator().manual_seed(0)


def _t(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=_generator)


X2, X3 = _t(2, 3, 6, 5), _t(1, 2, 4, 5, 3)
# Coordinates reach far outside the image.
G2 = 3 * torch.rand(2, 4, 7, 2, generator=_generator) - 1.5
G3 = 3 * torch.rand(1, 3, 4, 2, 3, generator=_generator) - 1.5
CORNERS = torch.tensor([-1.0, 0.0, 1.0]).repeat(2, 1)[:, :, None, None].expand(2, 3, 3, 2).contiguous()
FAR = 9 * _t(2, 3, 3, 2)
F64 = torch.float64

SAMPLES = [
    *(
        Sample("aten.grid_sampler_2d.default", (X2, G2, mode, padding, align))
        for mode in range(3)
        for padding in range(3)
        for align in (False, True)
    ),
    *(
        Sample("aten.grid_sampler_3d.default", (X3, G3, mode, padding, align))
        for mode in range(2)
        for padding in range(3)
        for align in (False, True)
    ),
    *(Sample("aten.grid_sampler.default", (X2, grid, 0, 2, False)) for grid in (G2, CORNERS, FAR)),
    *(Sample("aten.grid_sampler_2d.default", (X2, CORNERS, mode, 0, True)) for mode in range(3)),
    Sample("aten.grid_sampler.default", (X3, G3, 0, 0, False)),
    Sample("aten.grid_sampler_2d.default", (X2.to(F64), G2.to(F64), 0, 0, False)),
    Sample("aten.grid_sampler_2d.default", (X2.to(F64), G2.to(F64), 2, 1, True)),
    *(
        Sample("aten.affine_grid_generator.default", (_t(2, 2, 3), [2, 3, 4, 5], align))
        for align in (False, True)
    ),
    Sample("aten.affine_grid_generator.default", (_t(1, 3, 4), [1, 3, 2, 4, 5], False)),
    Sample("aten.affine_grid_generator.default", (_t(1, 2, 3), [1, 3, 1, 1], False)),
    Sample("aten.affine_grid_generator.default", (_t(1, 2, 3).to(F64), [1, 3, 3, 3], True)),
]
