"""Matmuls with batch axes get axes that vectors divide, and have the same results."""

from __future__ import annotations

import torch
from expecttest import assert_expected_inline
from torch import nn
from torch.nn import functional as F

import bridge
from lowering.stablehlo.hlo import text_of
from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.through import same_results, text_through, through

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


GIVEN = """
func.func public @main(%x: tensor<2x37x8xf32>, %y: tensor<2x8x37xf32>) -> tensor<2x37x37xf32> {
  %0 = stablehlo.dot_general %x, %y, batching_dims = [0] x [0], contracting_dims = [2] x [1]
    : (tensor<2x37x8xf32>, tensor<2x8x37xf32>) -> tensor<2x37x37xf32>
  return %0 : tensor<2x37x37xf32>
}
"""


def test_long_axes_get_zeros_and_short_ones_stay() -> None:
    assert_expected_inline(
        text_through(GIVEN, stablehlo_pass("pad-batched-matmuls")),
        """\
module {
  func.func public @main(%arg0: tensor<2x37x8xf32>, %arg1: tensor<2x8x37xf32>) ->
      tensor<2x37x37xf32> {
    %cst = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %0 = stablehlo.pad %arg0, %cst, low = [0, 0, 0], high = [0, 11, 0], interior = [0, 0, 0] :
        (tensor<2x37x8xf32>, tensor<f32>) -> tensor<2x48x8xf32>
    %cst_0 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %1 = stablehlo.pad %arg1, %cst_0, low = [0, 0, 0], high = [0, 0, 11], interior = [0, 0, 0] :
        (tensor<2x8x37xf32>, tensor<f32>) -> tensor<2x8x48xf32>
    %2 = stablehlo.dot_general %0, %1, batching_dims = [0] x [0], contracting_dims = [2] x [1] :
        (tensor<2x48x8xf32>, tensor<2x8x48xf32>) -> tensor<2x48x48xf32>
    %3 = stablehlo.slice %2 [0:2, 0:37, 0:37] : (tensor<2x48x48xf32>) -> tensor<2x37x37xf32>
    return %3 : tensor<2x37x37xf32>
  }
}
""",
    )
