"""Products without terms are zeros; others stay."""

from __future__ import annotations

from expecttest import assert_expected_inline

from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.through import text_through

GIVEN = """
func.func public @main(
    %x: tensor<3x0xf32>, %y: tensor<0x4xf32>, %z: tensor<4x3xf32>) -> (tensor<3x4xf32>, tensor<3x3xf32>) {
  %0 = stablehlo.dot_general %x, %y, contracting_dims = [1] x [0]
    : (tensor<3x0xf32>, tensor<0x4xf32>) -> tensor<3x4xf32>
  %1 = stablehlo.dot_general %0, %z, contracting_dims = [1] x [0]
    : (tensor<3x4xf32>, tensor<4x3xf32>) -> tensor<3x3xf32>
  return %0, %1 : tensor<3x4xf32>, tensor<3x3xf32>
}
"""


def test_products_without_terms_are_zeros() -> None:
    assert_expected_inline(
        text_through(GIVEN, stablehlo_pass("legalise-dots")),
        """\
module {
  func.func public @main(%arg0: tensor<3x0xf32>, %arg1: tensor<0x4xf32>, %arg2: tensor<4x3xf32>) ->
      (tensor<3x4xf32>, tensor<3x3xf32>) {
    %cst = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %0 = stablehlo.broadcast_in_dim %cst, dims = [] : (tensor<f32>) -> tensor<3x4xf32>
    %1 = stablehlo.dot_general %0, %arg2, contracting_dims = [1] x [0] : (tensor<3x4xf32>,
        tensor<4x3xf32>) -> tensor<3x3xf32>
    return %0, %1 : tensor<3x4xf32>, tensor<3x3xf32>
  }
}
""",
    )
