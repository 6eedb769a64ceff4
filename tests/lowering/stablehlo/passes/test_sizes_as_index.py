"""Sizes are values of type `index`, computed at the head of `@main`."""

from __future__ import annotations

from expecttest import assert_expected_inline

from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.through import dynamic_through

GIVEN = """
func.func public @main(%x: tensor<?xi64>) -> (tensor<?x2xi64>, tensor<i64>) {
  %n = stablehlo.get_dimension_size %x, dim = 0 : (tensor<?xi64>) -> tensor<i32>
  %n64 = stablehlo.convert %n : (tensor<i32>) -> tensor<i64>
  %two = stablehlo.constant dense<2> : tensor<i64>
  %double = stablehlo.multiply %n64, %two : tensor<i64>
  %nv = stablehlo.reshape %n64 : (tensor<i64>) -> tensor<1xi64>
  %twov = stablehlo.reshape %two : (tensor<i64>) -> tensor<1xi64>
  %shape = stablehlo.concatenate %nv, %twov, dim = 0 : (tensor<1xi64>, tensor<1xi64>) -> tensor<2xi64>
  %0 = stablehlo.dynamic_broadcast_in_dim %x, %shape, dims = [0]
    {known_expanding_dimensions = array<i64>, known_nonexpanding_dimensions = array<i64: 0>}
    : (tensor<?xi64>, tensor<2xi64>) -> tensor<?x2xi64>
  return %0, %double : tensor<?x2xi64>, tensor<i64>
}
"""


def test_shapes_and_sizes_as_data_are_read_and_computed_as_index() -> None:
    made = dynamic_through(GIVEN, [("n",)], stablehlo_pass("sizes-as-index"))
    assert_expected_inline(
        made,
        """\
module {
  func.func public @main(%arg0: tensor<?xi64>) -> (tensor<?x2xi64>, tensor<i64>) {
    %c0 = arith.constant 0 : index
    %dim = tensor.dim %arg0, %c0 : tensor<?xi64>
    %c2 = arith.constant 2 : index
    %from_elements = tensor.from_elements %dim, %c2 : tensor<2xindex>
    %0 = arith.muli %c2, %dim : index
    %1 = arith.index_cast %0 : index to i64
    %from_elements_0 = tensor.from_elements %1 : tensor<i64>
    %2 = stablehlo.dynamic_broadcast_in_dim %arg0, %from_elements, dims = [0]
        {known_nonexpanding_dimensions = array<i64: 0>} : (tensor<?xi64>, tensor<2xindex>) ->
        tensor<?x2xi64>
    return %2, %from_elements_0 : tensor<?x2xi64>, tensor<i64>
  }
}
""",
    )
