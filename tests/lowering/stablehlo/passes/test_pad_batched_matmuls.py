"""Matmuls with batch axes get axes that vectors divide, and have the same results."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

import bridge
from lowering.stablehlo.hlo import text_of
from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.through import same_results, through

PADDED = stablehlo_pass("pad-batched-matmuls")


class Attention(nn.Module):
    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(*inputs)


def test_products_with_batch_axes_get_axes_that_vectors_divide() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = tuple(torch.randn(2, 2, 37, 8, generator=generator) for _ in range(3))
    lowered = bridge.lower(Attention(), inputs)
    assert "2x2x48x48" in text_of(through(lowered.module(0), PADDED).code)
    same_results(Attention(), inputs, PADDED)
