"""Sums of booleans are disjunctions, inside the regions of reductions too."""

from __future__ import annotations

from expecttest import assert_expected_inline

from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.through import text_through

GIVEN = """
func.func public @main(%x: tensor<4xi1>, %y: tensor<i1>, %z: tensor<4xi8>) -> (tensor<i1>, tensor<4xi8>) {
  %0 = stablehlo.add %x, %x : tensor<4xi1>
  %1 = stablehlo.reduce(%0 init: %y) across dimensions = [0] : (tensor<4xi1>, tensor<i1>) -> tensor<i1>
    reducer(%a: tensor<i1>, %b: tensor<i1>) {
      %3 = stablehlo.add %a, %b : tensor<i1>
      stablehlo.return %3 : tensor<i1>
    }
  %2 = stablehlo.add %z, %z : tensor<4xi8>
  return %1, %2 : tensor<i1>, tensor<4xi8>
}
"""


def test_sums_of_booleans_alone_become_disjunctions() -> None:
    assert_expected_inline(
        text_through(GIVEN, stablehlo_pass("legalise-booleans")),
        """\
module {
  func.func public @main(%arg0: tensor<4xi1>, %arg1: tensor<i1>, %arg2: tensor<4xi8>) ->
      (tensor<i1>, tensor<4xi8>) {
    %0 = stablehlo.or %arg0, %arg0 : tensor<4xi1>
    %1 = stablehlo.reduce(%0 init: %arg1) applies stablehlo.or across dimensions = [0] :
        (tensor<4xi1>, tensor<i1>) -> tensor<i1>
    %2 = stablehlo.add %arg2, %arg2 : tensor<4xi8>
    return %1, %2 : tensor<i1>, tensor<4xi8>
  }
}
""",
    )
