"""What nothing reads goes, chains of it too."""

from __future__ import annotations

from expecttest import assert_expected_inline

from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.through import text_through

GIVEN = """
func.func public @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = stablehlo.negate %x : tensor<4xf32>
  %1 = stablehlo.add %0, %x : tensor<4xf32>
  %2 = stablehlo.exponential %x : tensor<4xf32>
  return %2 : tensor<4xf32>
}
"""


def test_a_chain_that_nothing_reads_goes() -> None:
    assert_expected_inline(
        text_through(GIVEN, stablehlo_pass("erase-dead-operations")),
        """\
module {
  func.func public @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {
    %0 = stablehlo.exponential %arg0 : tensor<4xf32>
    return %0 : tensor<4xf32>
  }
}
""",
    )
