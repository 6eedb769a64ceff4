"""Rules of lookups and writes by place: a module in, the verdict on its rows out."""

from __future__ import annotations

import pytest

from tests.lowering.stablehlo.rows.modules import ROWS, X4, Case, S, check

CASES = [
    Case(
        "rows of a table by data",
        """
        %y = "stablehlo.gather"(%w, %x) <{dimension_numbers = #stablehlo.gather<offset_dims = [1],
            collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, slice_sizes =
            array<i64: 1, 4>}> : (tensor<9x4xf32>, tensor<?x1xi64>) -> $R
        """,
        ROWS,
        inputs={"x": ("i64", (S, 1)), "w": ("f32", (9, 4))},
    ),
    Case(
        "columns by constants",
        """
        %pairs = stablehlo.constant dense<[[0], [2]]> : tensor<2x1xi64>
        %y = "stablehlo.gather"(%x, %pairs) <{dimension_numbers = #stablehlo.gather<offset_dims =
            [0], collapsed_slice_dims = [1], start_index_map = [1], index_vector_dim = 1>,
            slice_sizes = array<i64: 1, 1>}> : ($R, tensor<2x1xi64>) -> tensor<1x2xf32>
        """,
        "looks rows up by their numbers",
        results={"y": ("f32", (1, 2))},
    ),
    Case(
        "an element of each row, by its number",
        """
        %j = stablehlo.dynamic_iota %n1, dim = 0 : ($D) -> tensor<?xi64>
        %n_1 = stablehlo.concatenate %n1, %c1, dim = 0 : ($D, $D) -> $S
        %j2 = stablehlo.dynamic_reshape %j, %n_1 : (tensor<?xi64>, $S) -> tensor<?x1xi64>
        %both = stablehlo.concatenate %j2, %k, dim = 1 : (tensor<?x1xi64>, tensor<?x1xi64>) ->
            tensor<?x2xi64>
        %y = "stablehlo.gather"(%x, %both) <{dimension_numbers =
            #stablehlo.gather<collapsed_slice_dims = [0, 1], start_index_map = [0, 1],
            index_vector_dim = 1>, slice_sizes = array<i64: 1, 1>}> : ($R, tensor<?x2xi64>) ->
            tensor<?xf32>
        """,
        ROWS,
        inputs={**X4, "k": ("i64", (S, 1))},
        results={"y": ("f32", (S,))},
    ),
    Case(
        "an element of any row, by data",
        """
        %y = "stablehlo.gather"(%x, %k) <{dimension_numbers = #stablehlo.gather<collapsed_slice_dims
            = [0, 1], start_index_map = [0, 1], index_vector_dim = 1>, slice_sizes = array<i64: 1,
            1>}> : ($R, tensor<?x2xi64>) -> tensor<?xf32>
        """,
        "looks rows up by their numbers",
        inputs={**X4, "k": ("i64", (S, 2))},
        results={"y": ("f32", (S,))},
    ),
    Case(
        "a place in each row",
        """
        %y = stablehlo.dynamic_update_slice %x, %u, %k, %k : ($R, tensor<?x1xf32>, tensor<i64>,
            tensor<i64>) -> $R
        """,
        ROWS,
        inputs={**X4, "u": ("f32", (S, 1)), "k": ("i64", ())},
    ),
    Case(
        "a place in one row",
        """
        %y = stablehlo.dynamic_update_slice %x, %u, %k, %k : ($R, tensor<1x4xf32>, tensor<i64>,
            tensor<i64>) -> $R
        """,
        "makes rows of a tensor that has none",
        inputs={**X4, "u": ("f32", (1, 4)), "k": ("i64", ())},
    ),
    Case(
        "a row by its number",
        """
        %y = stablehlo.dynamic_slice %x, %k, %k, sizes = [1, 4] : ($R, tensor<i64>, tensor<i64>) ->
            tensor<1x4xf32>
        """,
        "looks rows up by their numbers",
        inputs={**X4, "k": ("i64", ())},
        results={"y": ("f32", (1, 4))},
    ),
    Case(
        "a column of each row",
        """
        %pairs = stablehlo.constant dense<[[0], [2]]> : tensor<2x1xi64>
        %y = "stablehlo.scatter"(%x, %pairs, %u) <{scatter_dimension_numbers =
            #stablehlo.scatter<update_window_dims = [0], inserted_window_dims = [1],
            scatter_dims_to_operand_dims = [1], index_vector_dim = 1>}> ({
          ^bb0(%a: tensor<f32>, %b: tensor<f32>):
          stablehlo.return %b : tensor<f32>
        })
        : ($R, tensor<2x1xi64>, tensor<?x2xf32>) -> $R
        """,
        ROWS,
        inputs={**X4, "u": ("f32", (S, 2))},
    ),
    Case(
        "writes to rows by data",
        """
        %y = "stablehlo.scatter"(%x, %k, %u) <{scatter_dimension_numbers =
            #stablehlo.scatter<update_window_dims = [1], inserted_window_dims = [0],
            scatter_dims_to_operand_dims = [0], index_vector_dim = 1>}> ({
          ^bb0(%a: tensor<f32>, %b: tensor<f32>):
          stablehlo.return %b : tensor<f32>
        })
        : ($R, tensor<?x1xi64>, $R) -> $R
        """,
        "looks rows up by their numbers",
        inputs={**X4, "u": ("f32", (S, 4)), "k": ("i64", (S, 1))},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_verdicts(case: Case) -> None:
    check(case)
