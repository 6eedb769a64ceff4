"""Scalar predicates of selections between tensors are spread, in loops too."""

from __future__ import annotations

from expecttest import assert_expected_inline

from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.through import text_through

GIVEN = """
func.func public @main(%p: tensor<i1>, %x: tensor<4xf32>, %s: tensor<f32>) -> (tensor<4xf32>, tensor<f32>) {
  %0 = stablehlo.select %p, %s, %s : tensor<i1>, tensor<f32>
  %1 = stablehlo.while(%y = %x) : tensor<4xf32>
    cond {
      stablehlo.return %p : tensor<i1>
    } do {
      %2 = stablehlo.select %p, %x, %y : tensor<i1>, tensor<4xf32>
      stablehlo.return %2 : tensor<4xf32>
    }
  return %1, %0 : tensor<4xf32>, tensor<f32>
}
"""


def test_predicates_have_the_shape_of_what_they_select() -> None:
    assert_expected_inline(
        text_through(GIVEN, stablehlo_pass("legalise-selections")),
        """\
module {
  func.func public @main(%arg0: tensor<i1>, %arg1: tensor<4xf32>, %arg2: tensor<f32>) ->
      (tensor<4xf32>, tensor<f32>) {
    %0 = stablehlo.select %arg0, %arg2, %arg2 : tensor<i1>, tensor<f32>
    %1 = stablehlo.while(%iterArg = %arg1) : tensor<4xf32>
    cond {
      stablehlo.return %arg0 : tensor<i1>
    } do {
      %2 = stablehlo.broadcast_in_dim %arg0, dims = [] : (tensor<i1>) -> tensor<4xi1>
      %3 = stablehlo.select %2, %arg1, %iterArg : tensor<4xi1>, tensor<4xf32>
      stablehlo.return %3 : tensor<4xf32>
    }
    return %1, %0 : tensor<4xf32>, tensor<f32>
  }
}
""",
    )
