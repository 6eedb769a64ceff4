"""Complex pads are pads of parts, and single elements have no gaps."""

from __future__ import annotations

from expecttest import assert_expected_inline

from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.through import text_through

GIVEN = """
func.func public @main(%x: tensor<1x3xcomplex<f32>>, %f: tensor<complex<f32>>, %y: tensor<1x3xf32>,
    %g: tensor<f32>) -> (tensor<2x5xcomplex<f32>>, tensor<2x5xf32>, tensor<2x5xf32>) {
  %0 = stablehlo.pad %x, %f, low = [1, 0], high = [0, 2], interior = [0, 0]
    : (tensor<1x3xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x5xcomplex<f32>>
  %1 = stablehlo.pad %y, %g, low = [1, 0], high = [0, 0], interior = [1, 1]
    : (tensor<1x3xf32>, tensor<f32>) -> tensor<2x5xf32>
  %2 = stablehlo.pad %y, %g, low = [1, 0], high = [0, 2], interior = [0, 0]
    : (tensor<1x3xf32>, tensor<f32>) -> tensor<2x5xf32>
  return %0, %1, %2 : tensor<2x5xcomplex<f32>>, tensor<2x5xf32>, tensor<2x5xf32>
}
"""


def test_complex_pads_are_apart_and_gaps_between_nothing_go() -> None:
    assert_expected_inline(
        text_through(GIVEN, stablehlo_pass("legalise-pads")),
        """\
module {
  func.func public @main(%arg0: tensor<1x3xcomplex<f32>>, %arg1: tensor<complex<f32>>, %arg2:
      tensor<1x3xf32>, %arg3: tensor<f32>) -> (tensor<2x5xcomplex<f32>>, tensor<2x5xf32>,
      tensor<2x5xf32>) {
    %0 = stablehlo.real %arg0 : (tensor<1x3xcomplex<f32>>) -> tensor<1x3xf32>
    %1 = stablehlo.real %arg1 : (tensor<complex<f32>>) -> tensor<f32>
    %2 = stablehlo.pad %0, %1, low = [1, 0], high = [0, 2], interior = [0, 0] : (tensor<1x3xf32>,
        tensor<f32>) -> tensor<2x5xf32>
    %3 = stablehlo.imag %arg0 : (tensor<1x3xcomplex<f32>>) -> tensor<1x3xf32>
    %4 = stablehlo.imag %arg1 : (tensor<complex<f32>>) -> tensor<f32>
    %5 = stablehlo.pad %3, %4, low = [1, 0], high = [0, 2], interior = [0, 0] : (tensor<1x3xf32>,
        tensor<f32>) -> tensor<2x5xf32>
    %6 = stablehlo.complex %2, %5 : tensor<2x5xcomplex<f32>>
    %7 = stablehlo.pad %arg2, %arg3, low = [1, 0], high = [0, 0], interior = [0, 1] :
        (tensor<1x3xf32>, tensor<f32>) -> tensor<2x5xf32>
    %8 = stablehlo.pad %arg2, %arg3, low = [1, 0], high = [0, 2], interior = [0, 0] :
        (tensor<1x3xf32>, tensor<f32>) -> tensor<2x5xf32>
    return %6, %7, %8 : tensor<2x5xcomplex<f32>>, tensor<2x5xf32>, tensor<2x5xf32>
  }
}
""",
    )
