"""Products are rounded before differences to their own elements, and before no others."""

from __future__ import annotations

import pytest
from expecttest import assert_expected_inline

from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.through import text_through

PASS = stablehlo_pass("keep-products-that-cancel")

LARGEST = """
func.func public @main(%x: tensor<2x4xf32>, %y: tensor<2x4xf32>) -> tensor<2x4xf32> {
  %low = stablehlo.constant dense<0xFF800000> : tensor<f32>
  %0 = stablehlo.multiply %x, %y : tensor<2x4xf32>
  %1 = stablehlo.reduce(%0 init: %low) applies stablehlo.maximum across dimensions = [1]
    : (tensor<2x4xf32>, tensor<f32>) -> tensor<2xf32>
  %2 = stablehlo.broadcast_in_dim %1, dims = [0] : (tensor<2xf32>) -> tensor<2x4xf32>
  %3 = stablehlo.subtract %0, %2 : tensor<2x4xf32>
  return %3 : tensor<2x4xf32>
}
"""

# What is taken from the product `%0`, or what it is taken from.
CANCEL = {
    "itself": "%1 = stablehlo.subtract %0, %0 : tensor<4xf32>",
    "turned": """
        %2 = stablehlo.reverse %0, dims = [0] : tensor<4xf32>
        %1 = stablehlo.subtract %2, %0 : tensor<4xf32>""",
    "a choice": """
        %2 = stablehlo.compare LT, %x, %y : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xi1>
        %3 = stablehlo.select %2, %x, %0 : tensor<4xi1>, tensor<4xf32>
        %1 = stablehlo.subtract %3, %0 : tensor<4xf32>""",
    "joined": """
        %2 = stablehlo.slice %0 [0:2] : (tensor<4xf32>) -> tensor<2xf32>
        %3 = stablehlo.slice %0 [2:4] : (tensor<4xf32>) -> tensor<2xf32>
        %4 = stablehlo.concatenate %3, %2, dim = 0 : (tensor<2xf32>, tensor<2xf32>) -> tensor<4xf32>
        %1 = stablehlo.subtract %0, %4 : tensor<4xf32>""",
}
OTHERS = {
    "another": "%1 = stablehlo.subtract %0, %y : tensor<4xf32>",
    "a function of it": """
        %2 = stablehlo.exponential %0 : tensor<4xf32>
        %1 = stablehlo.subtract %0, %2 : tensor<4xf32>""",
    "a sum": "%1 = stablehlo.add %0, %0 : tensor<4xf32>",
}


def of(lines: str) -> str:
    return f"""
    func.func public @main(%x: tensor<4xf32>, %y: tensor<4xf32>) -> tensor<4xf32> {{
      %0 = stablehlo.multiply %x, %y : tensor<4xf32>
      {lines}
      return %1 : tensor<4xf32>
    }}
    """


def test_the_difference_to_the_largest_reads_a_selection() -> None:
    assert_expected_inline(
        text_through(LARGEST, PASS),
        """\
module {
  func.func public @main(%arg0: tensor<2x4xf32>, %arg1: tensor<2x4xf32>) -> tensor<2x4xf32> {
    %cst = stablehlo.constant dense<0xFF800000> : tensor<f32>
    %0 = stablehlo.multiply %arg0, %arg1 : tensor<2x4xf32>
    %1 = stablehlo.reduce(%0 init: %cst) applies stablehlo.maximum across dimensions = [1] :
        (tensor<2x4xf32>, tensor<f32>) -> tensor<2xf32>
    %2 = stablehlo.broadcast_in_dim %1, dims = [0] : (tensor<2xf32>) -> tensor<2x4xf32>
    %3 = stablehlo.bitcast_convert %0 : (tensor<2x4xf32>) -> tensor<2x4xi32>
    %c = stablehlo.constant dense<-2147483648> : tensor<i32>
    %4 = stablehlo.broadcast_in_dim %c, dims = [] : (tensor<i32>) -> tensor<2x4xi32>
    %5 = stablehlo.and %3, %4 : tensor<2x4xi32>
    %cst_0 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %6 = stablehlo.broadcast_in_dim %cst_0, dims = [] : (tensor<f32>) -> tensor<2x4xf32>
    %7 = stablehlo.compare EQ, %0, %6 : (tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<2x4xi1>
    %8 = stablehlo.bitcast_convert %5 : (tensor<2x4xi32>) -> tensor<2x4xf32>
    %9 = stablehlo.select %7, %8, %0 : tensor<2x4xi1>, tensor<2x4xf32>
    %10 = stablehlo.subtract %9, %2 : tensor<2x4xf32>
    return %10 : tensor<2x4xf32>
  }
}
""",
    )


@pytest.mark.parametrize("lines", CANCEL.values(), ids=CANCEL)
def test_what_has_elements_of_the_product_cancels(lines: str) -> None:
    assert "bitcast_convert" in text_through(of(lines), PASS)


@pytest.mark.parametrize("lines", OTHERS.values(), ids=OTHERS)
def test_other_sums_stay(lines: str) -> None:
    assert "bitcast_convert" not in text_through(of(lines), PASS)
