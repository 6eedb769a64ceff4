"""Equal operations are one."""

from __future__ import annotations

from expecttest import assert_expected_inline

from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.through import text_through

GIVEN = """
func.func public @main(%w: tensor<2x3xf32> {bridge.weight}) -> (tensor<3x2xf32>, tensor<3x2xf32>) {
  %0 = stablehlo.transpose %w, dims = [1, 0] : (tensor<2x3xf32>) -> tensor<3x2xf32>
  %1 = stablehlo.transpose %w, dims = [1, 0] : (tensor<2x3xf32>) -> tensor<3x2xf32>
  return %0, %1 : tensor<3x2xf32>, tensor<3x2xf32>
}
"""


def test_a_weight_that_is_turned_twice_is_turned_once() -> None:
    assert_expected_inline(
        text_through(GIVEN, stablehlo_pass("merge-equal-operations")),
        """\
module {
  func.func public @main(%arg0: tensor<2x3xf32> {bridge.weight}) -> (tensor<3x2xf32>,
      tensor<3x2xf32>) {
    %0 = stablehlo.transpose %arg0, dims = [1, 0] : (tensor<2x3xf32>) -> tensor<3x2xf32>
    return %0, %0 : tensor<3x2xf32>, tensor<3x2xf32>
  }
}
""",
    )
