"""Scatters that may write out of bounds get a spare place; all indices have 32 bits."""

from __future__ import annotations

import numpy as np
import pytest
from expecttest import assert_expected_inline

from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.through import module_of, results_of, scatter, text_through, through

GIVEN = """
func.func public @main(%x: tensor<5x3xf32>, %i: tensor<2x2xi64>, %u: tensor<2xf32>)
    -> (tensor<5x3xf32>, tensor<5x3xf32>) {
  %0 = "stablehlo.scatter"(%x, %i, %u) <{scatter_dimension_numbers = #stablehlo.scatter<
      inserted_window_dims = [0, 1], scatter_dims_to_operand_dims = [0, 1], index_vector_dim = 1>,
      unique_indices = true}> ({
    ^bb0(%a: tensor<f32>, %b: tensor<f32>):
      stablehlo.return %b : tensor<f32>
    }) : (tensor<5x3xf32>, tensor<2x2xi64>, tensor<2xf32>) -> tensor<5x3xf32>
  %c0 = stablehlo.constant dense<0> : tensor<2x2xi64>
  %c2 = stablehlo.constant dense<2> : tensor<2x2xi64>
  %low = stablehlo.maximum %i, %c0 : tensor<2x2xi64>
  %safe = stablehlo.minimum %low, %c2 : tensor<2x2xi64>
  %1 = "stablehlo.scatter"(%x, %safe, %u) <{scatter_dimension_numbers = #stablehlo.scatter<
      inserted_window_dims = [0, 1], scatter_dims_to_operand_dims = [0, 1], index_vector_dim = 1>}> ({
    ^bb0(%a: tensor<f32>, %b: tensor<f32>):
      stablehlo.return %b : tensor<f32>
    }) : (tensor<5x3xf32>, tensor<2x2xi64>, tensor<2xf32>) -> tensor<5x3xf32>
  return %0, %1 : tensor<5x3xf32>, tensor<5x3xf32>
}
"""


def test_indices_in_bounds_are_narrowed_and_others_get_a_spare_place() -> None:
    assert_expected_inline(
        text_through(GIVEN, stablehlo_pass("legalise-scatters")),
        """\
module {
  func.func public @main(%arg0: tensor<5x3xf32>, %arg1: tensor<2x2xi64>, %arg2: tensor<2xf32>) ->
      (tensor<5x3xf32>, tensor<5x3xf32>) {
    %0 = stablehlo.slice %arg1 [0:2, 0:1] : (tensor<2x2xi64>) -> tensor<2x1xi64>
    %1 = stablehlo.slice %arg1 [0:2, 1:2] : (tensor<2x2xi64>) -> tensor<2x1xi64>
    %c = stablehlo.constant dense<0> : tensor<i64>
    %2 = stablehlo.broadcast_in_dim %c, dims = [] : (tensor<i64>) -> tensor<2x1xi64>
    %3 = stablehlo.compare GE, %0, %2 : (tensor<2x1xi64>, tensor<2x1xi64>) -> tensor<2x1xi1>
    %c_0 = stablehlo.constant dense<4> : tensor<i64>
    %4 = stablehlo.broadcast_in_dim %c_0, dims = [] : (tensor<i64>) -> tensor<2x1xi64>
    %5 = stablehlo.compare LE, %0, %4 : (tensor<2x1xi64>, tensor<2x1xi64>) -> tensor<2x1xi1>
    %6 = stablehlo.and %3, %5 : tensor<2x1xi1>
    %c_1 = stablehlo.constant dense<0> : tensor<i64>
    %7 = stablehlo.broadcast_in_dim %c_1, dims = [] : (tensor<i64>) -> tensor<2x1xi64>
    %8 = stablehlo.compare GE, %1, %7 : (tensor<2x1xi64>, tensor<2x1xi64>) -> tensor<2x1xi1>
    %c_2 = stablehlo.constant dense<2> : tensor<i64>
    %9 = stablehlo.broadcast_in_dim %c_2, dims = [] : (tensor<i64>) -> tensor<2x1xi64>
    %10 = stablehlo.compare LE, %1, %9 : (tensor<2x1xi64>, tensor<2x1xi64>) -> tensor<2x1xi1>
    %11 = stablehlo.and %8, %10 : tensor<2x1xi1>
    %12 = stablehlo.and %6, %11 : tensor<2x1xi1>
    %c_3 = stablehlo.constant dense<5> : tensor<i64>
    %13 = stablehlo.broadcast_in_dim %c_3, dims = [] : (tensor<i64>) -> tensor<2x1xi64>
    %14 = stablehlo.select %12, %0, %13 : tensor<2x1xi1>, tensor<2x1xi64>
    %c_4 = stablehlo.constant dense<0> : tensor<i64>
    %15 = stablehlo.broadcast_in_dim %c_4, dims = [] : (tensor<i64>) -> tensor<2x1xi64>
    %16 = stablehlo.select %12, %1, %15 : tensor<2x1xi1>, tensor<2x1xi64>
    %17 = stablehlo.concatenate %14, %16, dim = 1 : (tensor<2x1xi64>, tensor<2x1xi64>) ->
        tensor<2x2xi64>
    %cst = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %18 = stablehlo.pad %arg0, %cst, low = [0, 0], high = [1, 0], interior = [0, 0] :
        (tensor<5x3xf32>, tensor<f32>) -> tensor<6x3xf32>
    %19 = stablehlo.convert %17 : (tensor<2x2xi64>) -> tensor<2x2xi32>
    %20 = "stablehlo.scatter"(%18, %19, %arg2) <{indices_are_sorted = false,
        scatter_dimension_numbers = #stablehlo.scatter<inserted_window_dims = [0, 1],
        scatter_dims_to_operand_dims = [0, 1], index_vector_dim = 1>, unique_indices = false}> ({
    ^bb0(%arg3: tensor<f32>, %arg4: tensor<f32>):
      stablehlo.return %arg4 : tensor<f32>
    }) : (tensor<6x3xf32>, tensor<2x2xi32>, tensor<2xf32>) -> tensor<6x3xf32>
    %21 = stablehlo.slice %20 [0:5, 0:3] : (tensor<6x3xf32>) -> tensor<5x3xf32>
    %c_5 = stablehlo.constant dense<0> : tensor<2x2xi64>
    %c_6 = stablehlo.constant dense<2> : tensor<2x2xi64>
    %22 = stablehlo.maximum %arg1, %c_5 : tensor<2x2xi64>
    %23 = stablehlo.minimum %22, %c_6 : tensor<2x2xi64>
    %24 = stablehlo.convert %23 : (tensor<2x2xi64>) -> tensor<2x2xi32>
    %25 = "stablehlo.scatter"(%arg0, %24, %arg2) <{scatter_dimension_numbers =
        #stablehlo.scatter<inserted_window_dims = [0, 1], scatter_dims_to_operand_dims = [0, 1],
        index_vector_dim = 1>}> ({
    ^bb0(%arg3: tensor<f32>, %arg4: tensor<f32>):
      stablehlo.return %arg4 : tensor<f32>
    }) : (tensor<5x3xf32>, tensor<2x2xi32>, tensor<2xf32>) -> tensor<5x3xf32>
    return %21, %25 : tensor<5x3xf32>, tensor<5x3xf32>
  }
}
""",
    )


RANDOM = np.random.default_rng(0)
FORMS = {
    "windows along the axes that are indexed": (
        scatter(
            "5x4", "6x2", "6x2x3",
            "update_window_dims = [1, 2], scatter_dims_to_operand_dims = [1, 0], index_vector_dim = 1",
        ),
        [[0, 0], [1, 3], [2, 0], [0, 4], [1, 2], [-1, 2]],
        (6, 2, 3),
    ),
    "batches": (
        scatter(
            "3x4", "3x2x1", "3x2",
            "inserted_window_dims = [1], input_batching_dims = [0], scatter_indices_batching_dims = [0], "
            "scatter_dims_to_operand_dims = [1], index_vector_dim = 2",
        ),
        [[[0], [4]], [[-1], [3]], [[2], [2]]],
        (3, 2),
    ),
    "one index without an axis": (
        scatter(
            "5x4", "2", "1x2",
            "update_window_dims = [0, 1], scatter_dims_to_operand_dims = [0, 1]",
        ),
        [4, 3],
        (1, 2),
    ),
    "numbers without an axis": (
        scatter(
            "5", "3", "3",
            "inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1",
        ),
        [4, 5, -5],
        (3,),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_results_stay(name: str) -> None:
    text, indices, updates = FORMS[name]
    module = module_of(text)
    inputs = [
        RANDOM.standard_normal(module.inputs[0].sizes).astype(np.float32),
        np.array(indices),
        RANDOM.standard_normal(updates).astype(np.float32),
    ]
    made = through(module, stablehlo_pass("legalise-scatters"))
    assert made.code != module.code
    np.testing.assert_array_equal(results_of(made, "xla", inputs), results_of(module, "xla", inputs))
