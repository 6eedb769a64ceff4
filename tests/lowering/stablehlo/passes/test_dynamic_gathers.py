"""Gathers whose sizes a call says, in the two forms that IREE takes."""

from __future__ import annotations

import pytest

from lowering.ir.errors import EngineError
from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.through import dynamic_through

GATHERS = stablehlo_pass("dynamic-gathers")

ROWS = """
func.func public @main(%x: tensor<100x8xf32>, %i: tensor<?x?x1xi64>) -> tensor<?x?x8xf32> {
  %0 = "stablehlo.gather"(%x, %i) <{
    dimension_numbers = #stablehlo.gather<
      offset_dims = [2], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 2>,
    slice_sizes = array<i64: 1, 8>
  }> : (tensor<100x8xf32>, tensor<?x?x1xi64>) -> tensor<?x?x8xf32>
  return %0 : tensor<?x?x8xf32>
}
"""

SELECTED = """
func.func public @main(%x: tensor<?x9x?xf32>, %i: tensor<?x1xi32>) -> tensor<?x?x?xf32> {
  %n = stablehlo.get_dimension_size %x, dim = 0 : (tensor<?x9x?xf32>) -> tensor<i32>
  %m = stablehlo.get_dimension_size %x, dim = 2 : (tensor<?x9x?xf32>) -> tensor<i32>
  %nv = stablehlo.reshape %n : (tensor<i32>) -> tensor<1xi32>
  %mv = stablehlo.reshape %m : (tensor<i32>) -> tensor<1xi32>
  %one = stablehlo.constant dense<1> : tensor<1xi32>
  %sizes = stablehlo.concatenate %nv, %one, MV, dim = 0
    : (tensor<1xi32>, tensor<1xi32>, tensor<1xi32>) -> tensor<3xi32>
  %0 = "stablehlo.dynamic_gather"(%x, %i, %sizes) <{
    dimension_numbers = #stablehlo.gather<
      offset_dims = [0, 2], collapsed_slice_dims = [1], start_index_map = [1], index_vector_dim = 1>
  }> : (tensor<?x9x?xf32>, tensor<?x1xi32>, tensor<3xi32>) -> tensor<?x?x?xf32>
  return %0 : tensor<?x?x?xf32>
}
"""


def test_rows_of_a_table_are_gathered_by_sizes_that_are_an_operand() -> None:
    made = dynamic_through(ROWS, [(100, 8), ("b", "s", 1)], GATHERS)
    assert "stablehlo.constant dense<[1, 8]> : tensor<2xi64>" in made
    assert '"stablehlo.dynamic_gather"(%arg0, %arg1, ' in made


def test_whole_slices_are_selected_along_their_axis_with_places_in_bounds() -> None:
    made = dynamic_through(SELECTED.replace("MV", "%mv"), [("n", 9, "m"), ("k", 1)], GATHERS)
    assert "gather" not in made
    assert "dim = 1 : i64" in made
    assert "torch_index_select" in made
    assert "dense<8> : tensor<i64>" in made
    assert made.index("stablehlo.minimum") < made.index("torch_index_select")


def test_parts_of_slices_are_refused() -> None:
    with pytest.raises(EngineError, match=r"stablehlo.dynamic_gather has no code for all sizes: windows of"):
        dynamic_through(SELECTED.replace("MV", "%one"), [("n", 9, "m"), ("k", 1)], GATHERS)
