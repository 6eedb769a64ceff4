"""Rules of products, convolutions and factorisations: a module in, the verdict on its rows out."""

from __future__ import annotations

import pytest

from tests.lowering.stablehlo.rows.modules import ROWS, X4, Case, S, check

CASES = [
    Case(
        "rows by a weight",
        """
        %y = stablehlo.dot_general %x, %w, contracting_dims = [1] x [0] : ($R, tensor<4x4xf32>) ->
            $R
        """,
        ROWS,
        inputs={**X4, "w": ("f32", (4, 4))},
    ),
    Case(
        "a weight by rows",
        """
        %y = stablehlo.dot_general %w, %x, contracting_dims = [1] x [1] : (tensor<3x4xf32>, $R) ->
            tensor<3x?xf32>
        """,
        {"y": 1},
        inputs={**X4, "w": ("f32", (3, 4))},
        results={"y": ("f32", (3, S))},
    ),
    Case(
        "row by row",
        """
        %y = stablehlo.dot_general %x, %x, batching_dims = [0] x [0], contracting_dims = [1] x [1] :
            ($R, $R) -> tensor<?xf32>
        """,
        ROWS,
        results={"y": ("f32", (S,))},
    ),
    Case(
        "rows by rows, summed",
        """
        %y = stablehlo.dot_general %x, %x, contracting_dims = [0] x [0] : ($R, $R) ->
            tensor<4x4xf32>
        """,
        "multiplies rows by one another",
        results={"y": ("f32", (4, 4))},
    ),
    Case(
        "a sum over the rows, as a product",
        """
        %o = stablehlo.dynamic_broadcast_in_dim %zero, %n1, dims = [] : (tensor<f32>, $D) ->
            tensor<?xf32>
        %y = stablehlo.dot_general %o, %x, contracting_dims = [0] x [0] : (tensor<?xf32>, $R) ->
            tensor<4xf32>
        """,
        "multiplies rows by one another",
        results={"y": ("f32", (4,))},
    ),
    Case(
        "convolution",
        """
        %y = stablehlo.convolution(%x, %w) dim_numbers = [b, f, 0]x[o, i, 0]->[b, f, 0], window =
            {stride = [1]} {batch_group_count = 1 : i64, feature_group_count = 1 : i64} :
            (tensor<?x2x8xf32>, tensor<3x2x3xf32>) -> tensor<?x3x6xf32>
        """,
        ROWS,
        inputs={"x": ("f32", (S, 2, 8)), "w": ("f32", (3, 2, 3))},
        results={"y": ("f32", (S, 3, 6))},
    ),
    Case(
        "convolution over the rows",
        """
        %y = stablehlo.convolution(%x, %w) dim_numbers = [0, b, f]x[o, i, 0]->[0, b, f], window =
            {stride = [1], pad = [[1, 1]]} {batch_group_count = 1 : i64, feature_group_count = 1 :
            i64} : (tensor<?x8x2xf32>, tensor<3x2x3xf32>) -> tensor<?x8x3xf32>
        """,
        "has a window over the rows",
        inputs={"x": ("f32", (S, 8, 2)), "w": ("f32", (3, 2, 3))},
        results={"y": ("f32", (S, 8, 3))},
    ),
    Case(
        "a kernel that is rows",
        """
        %y = stablehlo.convolution(%w, %x) dim_numbers = [b, f, 0]x[o, i, 0]->[b, f, 0], window =
            {stride = [1]} {batch_group_count = 1 : i64, feature_group_count = 1 : i64} :
            (tensor<1x2x8xf32>, tensor<?x2x3xf32>) -> tensor<1x?x6xf32>
        """,
        "makes rows of a tensor that has none",
        inputs={"x": ("f32", (S, 2, 3)), "w": ("f32", (1, 2, 8))},
        results={"y": ("f32", (1, S, 6))},
    ),
    Case(
        "cholesky",
        """
        %y = stablehlo.cholesky %x, lower = true : tensor<?x4x4xf32>
        """,
        ROWS,
        inputs={"x": ("f32", (S, 4, 4))},
        results={"y": ("f32", (S, 4, 4))},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_verdicts(case: Case) -> None:
    check(case)
