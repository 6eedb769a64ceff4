"""Products behind barriers are rounded before the sums that read them."""

from __future__ import annotations

from expecttest import assert_expected_inline

from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.through import text_through

GIVEN = """
func.func public @main(%x: tensor<4xf32>, %y: tensor<4xf32>)
    -> (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) {
  %0 = stablehlo.multiply %x, %y : tensor<4xf32>
  %1 = stablehlo.optimization_barrier %0 : tensor<4xf32>
  %2 = stablehlo.add %1, %y : tensor<4xf32>
  %3 = stablehlo.maximum %1, %y : tensor<4xf32>
  %4 = stablehlo.optimization_barrier %x : tensor<4xf32>
  %5 = stablehlo.add %4, %y : tensor<4xf32>
  return %2, %3, %5 : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>
}
"""


def test_a_sum_reads_a_selection_and_others_read_the_barrier() -> None:
    assert_expected_inline(
        text_through(GIVEN, stablehlo_pass("keep-product-roundings")),
        """\
module {
  func.func public @main(%arg0: tensor<4xf32>, %arg1: tensor<4xf32>) -> (tensor<4xf32>,
      tensor<4xf32>, tensor<4xf32>) {
    %0 = stablehlo.multiply %arg0, %arg1 : tensor<4xf32>
    %1 = stablehlo.optimization_barrier %0 : tensor<4xf32>
    %2 = stablehlo.bitcast_convert %1 : (tensor<4xf32>) -> tensor<4xi32>
    %c = stablehlo.constant dense<-2147483648> : tensor<i32>
    %3 = stablehlo.broadcast_in_dim %c, dims = [] : (tensor<i32>) -> tensor<4xi32>
    %4 = stablehlo.and %2, %3 : tensor<4xi32>
    %cst = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %5 = stablehlo.broadcast_in_dim %cst, dims = [] : (tensor<f32>) -> tensor<4xf32>
    %6 = stablehlo.compare EQ, %1, %5 : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xi1>
    %7 = stablehlo.bitcast_convert %4 : (tensor<4xi32>) -> tensor<4xf32>
    %8 = stablehlo.select %6, %7, %1 : tensor<4xi1>, tensor<4xf32>
    %9 = stablehlo.add %8, %arg1 : tensor<4xf32>
    %10 = stablehlo.maximum %1, %arg1 : tensor<4xf32>
    %11 = stablehlo.optimization_barrier %arg0 : tensor<4xf32>
    %12 = stablehlo.add %11, %arg1 : tensor<4xf32>
    return %9, %10, %12 : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>
  }
}
""",
    )
