"""One row of halves is multiplied as two."""

from __future__ import annotations

from expecttest import assert_expected_inline

from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.through import text_through

GIVEN = """
func.func public @main(%x: tensor<1x8xbf16>, %w: tensor<3x8xbf16> {bridge.weight}) -> tensor<1x3xf32> {
  %0 = stablehlo.dot_general %x, %w, contracting_dims = [1] x [1]
    : (tensor<1x8xbf16>, tensor<3x8xbf16>) -> tensor<1x3xf32>
  return %0 : tensor<1x3xf32>
}
"""


def test_one_row_of_halves_is_two() -> None:
    assert_expected_inline(
        text_through(GIVEN, stablehlo_pass("pad-single-row-matmuls")),
        """\
module {
  func.func public @main(%arg0: tensor<1x8xbf16>, %arg1: tensor<3x8xbf16> {bridge.weight}) ->
      tensor<1x3xf32> {
    %cst = stablehlo.constant dense<0.000000e+00> : tensor<bf16>
    %0 = stablehlo.pad %arg0, %cst, low = [0, 0], high = [1, 0], interior = [0, 0] :
        (tensor<1x8xbf16>, tensor<bf16>) -> tensor<2x8xbf16>
    %1 = stablehlo.dot_general %0, %arg1, contracting_dims = [1] x [1] : (tensor<2x8xbf16>,
        tensor<3x8xbf16>) -> tensor<2x3xf32>
    %2 = stablehlo.slice %1 [0:1, 0:3] : (tensor<2x3xf32>) -> tensor<1x3xf32>
    return %2 : tensor<1x3xf32>
  }
}
""",
    )


def test_other_matmuls_stay() -> None:
    for text in (GIVEN.replace("1x8x", "2x8x").replace("1x3x", "2x3x"), GIVEN.replace("bf16", "f32")):
        assert text_through(text, stablehlo_pass("pad-single-row-matmuls")) == text_through(text)
