"""Places decide the order of what a stable sort takes for equal."""

from __future__ import annotations

from expecttest import assert_expected_inline

from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.through import text_through

GIVEN = """
func.func public @main(%x: tensor<4xf32>, %y: tensor<4xf32>)
    -> (tensor<4xf32>, tensor<4xf32>, tensor<4xi64>) {
  %0 = "stablehlo.sort"(%x) <{dimension = 0 : i64, is_stable = true}> ({
    ^bb0(%a: tensor<f32>, %b: tensor<f32>):
      %3 = stablehlo.compare LT, %a, %b : (tensor<f32>, tensor<f32>) -> tensor<i1>
      stablehlo.return %3 : tensor<i1>
    }) : (tensor<4xf32>) -> tensor<4xf32>
  %1 = stablehlo.iota dim = 0 : tensor<4xi64>
  %2:2 = "stablehlo.sort"(%y, %1) <{dimension = 0 : i64, is_stable = true}> ({
    ^bb0(%a: tensor<f32>, %b: tensor<f32>, %i: tensor<i64>, %j: tensor<i64>):
      %3 = stablehlo.compare GT, %a, %b : (tensor<f32>, tensor<f32>) -> tensor<i1>
      stablehlo.return %3 : tensor<i1>
    }) : (tensor<4xf32>, tensor<4xi64>) -> (tensor<4xf32>, tensor<4xi64>)
  return %0, %2#0, %2#1 : tensor<4xf32>, tensor<4xf32>, tensor<4xi64>
}
"""


def test_equal_elements_are_told_apart_by_their_places() -> None:
    assert_expected_inline(
        text_through(GIVEN, stablehlo_pass("legalise-sorts")),
        """\
module {
  func.func public @main(%arg0: tensor<4xf32>, %arg1: tensor<4xf32>) -> (tensor<4xf32>,
      tensor<4xf32>, tensor<4xi64>) {
    %0 = stablehlo.iota dim = 0 : tensor<4xi32>
    %1:2 = "stablehlo.sort"(%arg0, %0) <{dimension = 0 : i64, is_stable = false}> ({
    ^bb0(%arg2: tensor<f32>, %arg3: tensor<f32>, %arg4: tensor<i32>, %arg5: tensor<i32>):
      %4 = stablehlo.compare LT, %arg2, %arg3 : (tensor<f32>, tensor<f32>) -> tensor<i1>
      %5 = stablehlo.compare LT, %arg3, %arg2 : (tensor<f32>, tensor<f32>) -> tensor<i1>
      %6 = stablehlo.not %5 : tensor<i1>
      %7 = stablehlo.compare LT, %arg4, %arg5 : (tensor<i32>, tensor<i32>) -> tensor<i1>
      %8 = stablehlo.and %6, %7 : tensor<i1>
      %9 = stablehlo.or %4, %8 : tensor<i1>
      stablehlo.return %9 : tensor<i1>
    }) : (tensor<4xf32>, tensor<4xi32>) -> (tensor<4xf32>, tensor<4xi32>)
    %2 = stablehlo.iota dim = 0 : tensor<4xi64>
    %3:2 = "stablehlo.sort"(%arg1, %2) <{dimension = 0 : i64, is_stable = false}> ({
    ^bb0(%arg2: tensor<f32>, %arg3: tensor<f32>, %arg4: tensor<i64>, %arg5: tensor<i64>):
      %4 = stablehlo.compare GT, %arg2, %arg3 : (tensor<f32>, tensor<f32>) -> tensor<i1>
      %5 = stablehlo.compare GT, %arg3, %arg2 : (tensor<f32>, tensor<f32>) -> tensor<i1>
      %6 = stablehlo.not %5 : tensor<i1>
      %7 = stablehlo.compare LT, %arg4, %arg5 : (tensor<i64>, tensor<i64>) -> tensor<i1>
      %8 = stablehlo.and %6, %7 : tensor<i1>
      %9 = stablehlo.or %4, %8 : tensor<i1>
      stablehlo.return %9 : tensor<i1>
    }) : (tensor<4xf32>, tensor<4xi64>) -> (tensor<4xf32>, tensor<4xi64>)
    return %1#0, %3#0, %3#1 : tensor<4xf32>, tensor<4xf32>, tensor<4xi64>
  }
}
""",
    )
