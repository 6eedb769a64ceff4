"""One broadcast stands for two in a row, and knows of each axis whether it stretches."""

from __future__ import annotations

from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.through import dynamic_through

BROADCASTS = stablehlo_pass("dynamic-broadcasts")

MASK = """
func.func public @main(%x: tensor<1x?x1xf32>, %y: tensor<?x?x?xf32>) -> tensor<?x2x?x?xf32> {
  %two = stablehlo.constant dense<2> : tensor<1xi32>
  %d0 = stablehlo.get_dimension_size %y, dim = 0 : (tensor<?x?x?xf32>) -> tensor<i32>
  %d1 = stablehlo.get_dimension_size %y, dim = 1 : (tensor<?x?x?xf32>) -> tensor<i32>
  %d2 = stablehlo.get_dimension_size %y, dim = 2 : (tensor<?x?x?xf32>) -> tensor<i32>
  %n0 = stablehlo.reshape %d0 : (tensor<i32>) -> tensor<1xi32>
  %n1 = stablehlo.reshape %d1 : (tensor<i32>) -> tensor<1xi32>
  %n2 = stablehlo.reshape %d2 : (tensor<i32>) -> tensor<1xi32>
  %three = stablehlo.concatenate %n0, %n1, %n2, dim = 0
    : (tensor<1xi32>, tensor<1xi32>, tensor<1xi32>) -> tensor<3xi32>
  %four = stablehlo.concatenate %n0, %two, %n1, %n2, dim = 0
    : (tensor<1xi32>, tensor<1xi32>, tensor<1xi32>, tensor<1xi32>) -> tensor<4xi32>
  %0 = stablehlo.dynamic_broadcast_in_dim %x, %three, dims = [0, 1, 2] {
    known_expanding_dimensions = array<i64: 0>, known_nonexpanding_dimensions = array<i64: 1>
  } : (tensor<1x?x1xf32>, tensor<3xi32>) -> tensor<?x?x?xf32>
  %1 = stablehlo.dynamic_broadcast_in_dim %0, %four, dims = [0, 2, 3] {
    known_expanding_dimensions = array<i64: 2>, known_nonexpanding_dimensions = array<i64: 0, 1>
  } : (tensor<?x?x?xf32>, tensor<4xi32>) -> tensor<?x2x?x?xf32>
  return %1 : tensor<?x2x?x?xf32>
}
"""


def test_two_become_one() -> None:
    made = dynamic_through(MASK, [(1, "n", 1), ("b", "n", "m")], BROADCASTS)
    (line,) = [line for line in made.splitlines() if "dynamic_broadcast_in_dim" in line]
    text = " ".join(made.split())
    assert "dynamic_broadcast_in_dim %arg0" in line
    assert "dims = [0, 2, 3]" in text
    assert "known_expanding_dimensions = array<i64: 0, 2>" in text
    assert "known_nonexpanding_dimensions = array<i64: 1>" in text
