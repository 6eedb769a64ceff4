"""Bags as models call them: torch promises other sizes of what nobody reads than eager gives."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import embedding_bag

import bridge

WEIGHT = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
INDICES = torch.tensor([1, 3, 3, 4, 5])
CLOSED = torch.tensor([0, 2, 5])


class Bags(torch.nn.Module):
    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode = mode

    def forward(self, weight: torch.Tensor, indices: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        return embedding_bag(indices, weight, offsets, mode=self.mode, include_last_offset=True)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_a_last_offset_lowers(mode: str) -> None:
    module, inputs = Bags(mode), (WEIGHT, INDICES, CLOSED)
    lowered = bridge.lower(module, inputs)
    assert set(lowered.placement.values()) == {"stablehlo"}
    torch.testing.assert_close(lowered.compile("xla")(*inputs), module(*inputs))
