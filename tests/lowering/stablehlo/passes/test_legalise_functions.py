"""The hyperbolic tangent of float64 is spelled out, to the last digits; that of float32 stays."""

from __future__ import annotations

import torch
from torch import nn

import bridge
from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.through import operations, through


class Tangents(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.tanh(), x.float().tanh()


def test_tangents_of_float64_are_exact() -> None:
    generator = torch.Generator().manual_seed(0)
    x = 10 ** (torch.rand(4000, generator=generator, dtype=torch.float64) * 12 - 10)
    x = torch.cat([x, -x, torch.tensor([0.0, torch.inf, -torch.inf, torch.nan])])
    lowered = bridge.lower(Tangents(), (x,))
    (found, _), (want, _) = lowered.compile("iree")(x), Tangents()(x)
    torch.testing.assert_close(found, want, rtol=4e-16, atol=0, equal_nan=True)
    counts = operations(lowered.module(0))
    assert counts["tanh"] == 2
    assert operations(through(lowered.module(0), stablehlo_pass("legalise-functions")))["tanh"] == 1
