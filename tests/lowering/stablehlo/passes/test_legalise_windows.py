"""What lies behind a window that fits once is cut off."""

from __future__ import annotations

from expecttest import assert_expected_inline

from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.through import text_through

GIVEN = """
func.func public @main(%x: tensor<1x1x5xf32>, %w: tensor<1x1x3xf32>, %z: tensor<f32>)
    -> (tensor<1x1x1xf32>, tensor<1x1x1xf32>, tensor<1x1x2xf32>) {
  %0 = stablehlo.convolution(%x, %w) dim_numbers = [b, f, 0]x[o, i, 0]->[b, f, 0],
    window = {stride = [4], pad = [[1, 0]]} {batch_group_count = 1 : i64, feature_group_count = 1 : i64}
    : (tensor<1x1x5xf32>, tensor<1x1x3xf32>) -> tensor<1x1x1xf32>
  %1 = "stablehlo.reduce_window"(%x, %z) <{window_dimensions = array<i64: 1, 1, 3>,
    window_strides = array<i64: 1, 1, 3>}> ({
    ^bb0(%a: tensor<f32>, %b: tensor<f32>):
      %3 = stablehlo.maximum %a, %b : tensor<f32>
      stablehlo.return %3 : tensor<f32>
    }) : (tensor<1x1x5xf32>, tensor<f32>) -> tensor<1x1x1xf32>
  %2 = stablehlo.convolution(%x, %w) dim_numbers = [b, f, 0]x[o, i, 0]->[b, f, 0],
    window = {stride = [2]} {batch_group_count = 1 : i64, feature_group_count = 1 : i64}
    : (tensor<1x1x5xf32>, tensor<1x1x3xf32>) -> tensor<1x1x2xf32>
  return %0, %1, %2 : tensor<1x1x1xf32>, tensor<1x1x1xf32>, tensor<1x1x2xf32>
}
"""


def test_only_what_the_one_window_covers_is_left() -> None:
    assert_expected_inline(
        text_through(GIVEN, stablehlo_pass("legalise-windows")),
        """\
module {
  func.func public @main(%arg0: tensor<1x1x5xf32>, %arg1: tensor<1x1x3xf32>, %arg2: tensor<f32>) ->
      (tensor<1x1x1xf32>, tensor<1x1x1xf32>, tensor<1x1x2xf32>) {
    %0 = stablehlo.slice %arg0 [0:1, 0:1, 0:2] : (tensor<1x1x5xf32>) -> tensor<1x1x2xf32>
    %1 = stablehlo.convolution(%0, %arg1) dim_numbers = [b, f, 0]x[o, i, 0]->[b, f, 0], window =
        {stride = [4], pad = [[1, 0]]} {batch_group_count = 1 : i64, feature_group_count = 1 : i64}
        : (tensor<1x1x2xf32>, tensor<1x1x3xf32>) -> tensor<1x1x1xf32>
    %2 = stablehlo.slice %arg0 [0:1, 0:1, 0:3] : (tensor<1x1x5xf32>) -> tensor<1x1x3xf32>
    %3 = "stablehlo.reduce_window"(%2, %arg2) <{padding = dense<0> : tensor<3x2xi64>,
        window_dimensions = array<i64: 1, 1, 3>, window_strides = array<i64: 1, 1, 3>}> ({
    ^bb0(%arg3: tensor<f32>, %arg4: tensor<f32>):
      %5 = stablehlo.maximum %arg3, %arg4 : tensor<f32>
      stablehlo.return %5 : tensor<f32>
    }) : (tensor<1x1x3xf32>, tensor<f32>) -> tensor<1x1x1xf32>
    %4 = stablehlo.convolution(%arg0, %arg1) dim_numbers = [b, f, 0]x[o, i, 0]->[b, f, 0], window =
        {stride = [2]} {batch_group_count = 1 : i64, feature_group_count = 1 : i64} :
        (tensor<1x1x5xf32>, tensor<1x1x3xf32>) -> tensor<1x1x2xf32>
    return %1, %3, %4 : tensor<1x1x1xf32>, tensor<1x1x1xf32>, tensor<1x1x2xf32>
  }
}
""",
    )
