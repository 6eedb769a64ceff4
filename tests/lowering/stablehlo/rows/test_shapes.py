"""Rules of operations by element, and of places of elements: a module in, the verdict on its rows out."""

from __future__ import annotations

import pytest

from tests.lowering.stablehlo.rows.modules import ROWS, X4, Case, S, T, check, twice

CASES = [
    Case(
        "add",
        """
        %y = stablehlo.add %x, %x : $R
        """,
        ROWS,
    ),
    Case(
        "select",
        """
        %p = stablehlo.compare LT, %x, %x : ($R, $R) -> tensor<?x4xi1>
        %y = stablehlo.select %p, %x, %x : tensor<?x4xi1>, $R
        """,
        ROWS,
    ),
    Case(
        "clamp",
        """
        %y = stablehlo.clamp %zero, %x, %zero : (tensor<f32>, $R, tensor<f32>) -> $R
        """,
        ROWS,
    ),
    Case(
        "barrier",
        """
        %y = stablehlo.optimization_barrier %x : $R
        """,
        ROWS,
    ),
    Case(
        "the same bits",
        """
        %y = stablehlo.bitcast_convert %x : ($R) -> tensor<?x4x2xi16>
        """,
        ROWS,
        results={"y": ("i16", (S, 4, 2))},
    ),
    Case(
        "by element, rows beside columns",
        """
        %z = stablehlo.transpose %x, dims = [1, 0] : (tensor<?x?xf32>) -> tensor<?x?xf32>
        %y = stablehlo.add %x, %z : tensor<?x?xf32>
        """,
        "takes the batch axis beside another axis",
        inputs={"x": ("f32", (S, T))},
        results={"y": ("f32", (S, T))},
    ),
    Case(
        "by element, beside a tensor without rows",
        """
        %y = stablehlo.add %x, %w : $R
        """,
        "takes a tensor without rows beside rows",
        inputs={**X4, "w": ("f32", (T, 4))},
    ),
    Case(
        "transpose",
        """
        %y = stablehlo.transpose %x, dims = [1, 0] : ($R) -> tensor<4x?xf32>
        """,
        {"y": 1},
        results={"y": ("f32", (4, S))},
    ),
    Case(
        "reverse along another axis",
        """
        %y = stablehlo.reverse %x, dims = [1] : $R
        """,
        ROWS,
    ),
    Case(
        "reverse",
        """
        %y = stablehlo.reverse %x, dims = [0] : $R
        """,
        "reverses the order of the rows",
    ),
    Case(
        "split an axis",
        """
        %y = stablehlo.dynamic_reshape %x, %n22 : ($R, tensor<3xi64>) -> tensor<?x2x2xf32>
        """,
        ROWS,
        results={"y": ("f32", (S, 2, 2))},
    ),
    Case(
        "join axes",
        """
        %y = stablehlo.dynamic_reshape %x, %four : ($R, $D) -> tensor<?xf32>
        """,
        {"y": (0, 4)},
        results={"y": ("f32", (twice(twice(S)),))},
    ),
    Case(
        "join axes behind others",
        """
        %t = stablehlo.transpose %x, dims = [1, 0] : ($R) -> tensor<4x?xf32>
        %y = stablehlo.dynamic_reshape %t, %four : (tensor<4x?xf32>, $D) -> tensor<?xf32>
        """,
        "its result y has rows that lie apart",
        results={"y": ("f32", (twice(twice(S)),))},
    ),
    Case(
        "join axes, and split them again",
        """
        %z = stablehlo.dynamic_reshape %x, %four : ($R, $D) -> tensor<?xf32>
        %y = stablehlo.dynamic_reshape %z, %n4 : (tensor<?xf32>, $S) -> $R
        """,
        ROWS,
    ),
    Case(
        "rows that become columns",
        """
        %s = stablehlo.concatenate %c4, %n1, dim = 0 : ($D, $D) -> $S
        %y = stablehlo.dynamic_reshape %x, %s : ($R, $S) -> tensor<4x?xf32>
        """,
        "reshapes rows into one another",
        results={"y": ("f32", (4, S))},
    ),
    Case(
        "broadcast over rows",
        """
        %y = stablehlo.dynamic_broadcast_in_dim %w, %n4, dims = [1] : (tensor<4xf32>, $S) -> $R
        """,
        ROWS,
        inputs={**X4, "w": ("f32", (4,))},
    ),
    Case(
        "broadcast beside rows",
        """
        %s = stablehlo.concatenate %c8, %n1, dim = 0 : ($D, $D) -> $S
        %y = stablehlo.dynamic_broadcast_in_dim %x, %s, dims = [1] : (tensor<?xf32>, $S) ->
            tensor<8x?xf32>
        """,
        {"y": 1},
        inputs={"x": ("f32", (S,))},
        results={"y": ("f32", (8, S))},
    ),
    Case(
        "rows by rows",
        """
        %s = stablehlo.concatenate %n1, %n1, dim = 0 : ($D, $D) -> $S
        %y = stablehlo.dynamic_broadcast_in_dim %x, %s, dims = [0] : (tensor<?xf32>, $S) ->
            tensor<?x?xf32>
        """,
        "makes a tensor of sizes [s, s]",
        inputs={"x": ("f32", (S,))},
        results={"y": ("f32", (S, S))},
    ),
    Case(
        "concatenate beside rows",
        """
        %y = stablehlo.concatenate %x, %x, dim = 1 : ($R, $R) -> tensor<?x8xf32>
        """,
        ROWS,
        results={"y": ("f32", (S, 8))},
    ),
    Case(
        "concatenate a row",
        """
        %y = stablehlo.concatenate %x, %w, dim = 0 : ($R, tensor<1x4xf32>) -> $R
        """,
        "joins rows with what has none",
        inputs={**X4, "w": ("f32", (1, 4))},
        results={"y": ("f32", (T, 4))},
    ),
    Case(
        "two batches in one, and one of them again",
        """
        %z = stablehlo.concatenate %x, %x, dim = 0 : ($R, $R) -> $R
        %from = stablehlo.concatenate %n1, %c0, dim = 0 : ($D, $D) -> $S
        %to = stablehlo.concatenate %twice, %c4, dim = 0 : ($D, $D) -> $S
        %y = stablehlo.real_dynamic_slice %z, %from, %to, %step : ($R, $S, $S, $S) -> $R
        """,
        ROWS,
    ),
    Case(
        "two batches in one",
        """
        %y = stablehlo.concatenate %x, %x, dim = 0 : ($R, $R) -> $R
        """,
        "its result y has rows that lie apart",
        results={"y": ("f32", (twice(S), 4))},
    ),
    Case(
        "a part of each row",
        """
        %to = stablehlo.concatenate %n1, %c2, dim = 0 : ($D, $D) -> $S
        %y = stablehlo.real_dynamic_slice %x, %start, %to, %step : ($R, $S, $S, $S) ->
            tensor<?x2xf32>
        """,
        ROWS,
        results={"y": ("f32", (S, 2))},
    ),
    Case(
        "the first rows",
        """
        %to = stablehlo.concatenate %c2, %c4, dim = 0 : ($D, $D) -> $S
        %y = stablehlo.real_dynamic_slice %x, %start, %to, %step : ($R, $S, $S, $S) ->
            tensor<2x4xf32>
        """,
        {"y": None},
        results={"y": ("f32", (2, 4))},
    ),
    Case(
        "the last row",
        """
        %last = stablehlo.subtract %n1, %c1 : $D
        %from = stablehlo.concatenate %last, %c0, dim = 0 : ($D, $D) -> $S
        %y = stablehlo.real_dynamic_slice %x, %from, %n4, %step : ($R, $S, $S, $S) ->
            tensor<1x4xf32>
        """,
        "takes some of the rows",
        results={"y": ("f32", (1, 4))},
    ),
    Case(
        "as many elements of a table as there are rows",
        """
        %y = stablehlo.real_dynamic_slice %w, %c0, %n1, %c1 : (tensor<64xf32>, $D, $D, $D) ->
            tensor<?xf32>
        """,
        ROWS,
        inputs={**X4, "w": ("f32", (64,))},
        results={"y": ("f32", (S,))},
    ),
    Case(
        "pad each row",
        """
        %y = stablehlo.pad %x, %zero, low = [0, 1], high = [0, 1], interior = [0, 1] : ($R,
            tensor<f32>) -> tensor<?x9xf32>
        """,
        ROWS,
        results={"y": ("f32", (S, 9))},
    ),
    Case(
        "pad with a row",
        """
        %y = stablehlo.pad %x, %zero, low = [1, 0], high = [-1, 0], interior = [0, 0] : ($R,
            tensor<f32>) -> $R
        """,
        "adds rows, or takes some away",
    ),
    Case(
        "the numbers of rows",
        """
        %y = stablehlo.dynamic_iota %n4, dim = 0 : ($S) -> $R
        """,
        ROWS,
    ),
    Case(
        "the batch size",
        """
        %f = stablehlo.convert %n : (tensor<i64>) -> tensor<f32>
        %z = stablehlo.dynamic_broadcast_in_dim %f, %n4, dims = [] : (tensor<f32>, $S) -> $R
        %y = stablehlo.divide %x, %z : $R
        """,
        "computes with the batch size as a number",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_verdicts(case: Case) -> None:
    check(case)
