"""Weights of matmuls are laid out as [in, out], but for those of halves."""

from __future__ import annotations

import pytest
from expecttest import assert_expected_inline

from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.models import lowered
from tests.lowering.stablehlo.passes.through import text_through, through


@pytest.mark.parametrize(("name", "sizes"), [("products", (16, 48)), ("halves", (48, 16))])
def test_weights_of_products_are_in_out_but_for_halves(name: str, sizes: tuple[int, int]) -> None:
    module = lowered(name)[0].module(0)
    made = through(module, stablehlo_pass("matmul-weights-in-out"), stablehlo_pass("weight-hoisting"))
    assert sizes in {port.sizes for port in made.inputs}


GIVEN = """
func.func public @main(%x: tensor<4x8xf32>, %w: tensor<3x8xf32> {bridge.weight}) -> tensor<4x3xf32> {
  %0 = stablehlo.dot_general %x, %w, contracting_dims = [1] x [1]
    : (tensor<4x8xf32>, tensor<3x8xf32>) -> tensor<4x3xf32>
  return %0 : tensor<4x3xf32>
}
"""


def test_a_weight_is_turned() -> None:
    assert_expected_inline(
        text_through(GIVEN, stablehlo_pass("matmul-weights-in-out")),
        """\
module {
  func.func public @main(%arg0: tensor<4x8xf32>, %arg1: tensor<3x8xf32> {bridge.weight}) ->
      tensor<4x3xf32> {
    %0 = stablehlo.transpose %arg1, dims = [1, 0] : (tensor<3x8xf32>) -> tensor<8x3xf32>
    %1 = stablehlo.dot_general %arg0, %0, contracting_dims = [1] x [0] : (tensor<4x8xf32>,
        tensor<8x3xf32>) -> tensor<4x3xf32>
    return %1 : tensor<4x3xf32>
  }
}
""",
    )
