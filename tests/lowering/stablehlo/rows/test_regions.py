"""Rules of reductions, windows, sorts, loops and branches: a module in, the verdict on its rows out."""

from __future__ import annotations

import pytest

from tests.lowering.stablehlo.rows.modules import ROWS, X4, Case, S, check

CASES = [
    Case(
        "sum of each row",
        """
        %y = stablehlo.reduce(%x init: %zero) applies stablehlo.add across dimensions = [1]: ($R,
            tensor<f32>) -> tensor<?xf32>
        """,
        ROWS,
        results={"y": ("f32", (S,))},
    ),
    Case(
        "sum of the rows",
        """
        %y = stablehlo.reduce(%x init: %zero) applies stablehlo.add across dimensions = [0]: ($R,
            tensor<f32>) -> tensor<4xf32>
        """,
        "sums over the rows",
        results={"y": ("f32", (4,))},
    ),
    Case(
        "product of the rows",
        """
        %y = stablehlo.reduce(%x init: %zero) applies stablehlo.multiply across dimensions = [0]:
            ($R, tensor<f32>) -> tensor<4xf32>
        """,
        "reduces all rows together",
        results={"y": ("f32", (4,))},
    ),
    Case(
        "maximum of the rows",
        """
        %y = stablehlo.reduce(%x init: %zero) applies stablehlo.maximum across dimensions = [0]:
            ($R, tensor<f32>) -> tensor<4xf32>
        """,
        {"y": None},
        results={"y": ("f32", (4,))},
    ),
    Case(
        "maximum of the numbers of rows",
        """
        %z = stablehlo.dynamic_iota %n4, dim = 0 : ($S) -> $R
        %y = stablehlo.reduce(%z init: %zero) applies stablehlo.maximum across dimensions = [0] :
            ($R, tensor<f32>) -> tensor<4xf32>
        """,
        "reduces the rows, whose numbers it has seen",
        results={"y": ("f32", (4,))},
    ),
    Case(
        "any of a check",
        """
        %p = stablehlo.compare LT, %x, %x : ($R, $R) -> tensor<?x4xi1>
        %y = stablehlo.reduce(%p init: %no) applies stablehlo.or across dimensions = [0, 1] :
            (tensor<?x4xi1>, tensor<i1>) -> tensor<i1>
        """,
        {"y": None},
        results={"y": ("i1", ())},
    ),
    Case(
        "sort each row",
        """
        %y = "stablehlo.sort"(%x) <{dimension = 1 : i64, is_stable = true}> ({
          ^bb0(%a: tensor<f32>, %b: tensor<f32>):
          %p = stablehlo.compare LT, %a, %b : (tensor<f32>, tensor<f32>) -> tensor<i1>
          stablehlo.return %p : tensor<i1>
        }) : ($R) -> $R
        """,
        ROWS,
    ),
    Case(
        "sort the rows",
        """
        %y = "stablehlo.sort"(%x) <{dimension = 0 : i64, is_stable = true}> ({
          ^bb0(%a: tensor<f32>, %b: tensor<f32>):
          %p = stablehlo.compare LT, %a, %b : (tensor<f32>, tensor<f32>) -> tensor<i1>
          stablehlo.return %p : tensor<i1>
        }) : ($R) -> $R
        """,
        "sorts the rows",
    ),
    Case(
        "window within rows",
        """
        %y = "stablehlo.reduce_window"(%x, %zero) <{window_dimensions = array<i64: 1, 2>,
            window_strides = array<i64: 1, 2>}> ({
          ^bb0(%a: tensor<f32>, %b: tensor<f32>):
          %c = stablehlo.add %a, %b : tensor<f32>
          stablehlo.return %c : tensor<f32>
        }) : ($R, tensor<f32>) -> tensor<?x2xf32>
        """,
        ROWS,
        results={"y": ("f32", (S, 2))},
    ),
    Case(
        "window over rows",
        """
        %y = "stablehlo.reduce_window"(%x, %zero) <{window_dimensions = array<i64: 2, 1>, padding =
            dense<[[1, 0], [0, 0]]> : tensor<2x2xi64>}> ({
          ^bb0(%a: tensor<f32>, %b: tensor<f32>):
          %c = stablehlo.add %a, %b : tensor<f32>
          stablehlo.return %c : tensor<f32>
        }) : ($R, tensor<f32>) -> $R
        """,
        "has a window over the rows",
    ),
    Case(
        "a loop until the largest row says so",
        """
        %y, %i = stablehlo.while(%a = %x, %b = %i0) : $R, tensor<i64>
        cond {
          %m = stablehlo.reduce(%a init: %zero) applies stablehlo.maximum across dimensions = [0, 1]
              : ($R, tensor<f32>) -> tensor<f32>
          %p = stablehlo.compare LT, %m, %zero : (tensor<f32>, tensor<f32>) -> tensor<i1>
          stablehlo.return %p : tensor<i1>
        }
        do { %next = stablehlo.add %a, %a : $R
          stablehlo.return %next, %b : $R, tensor<i64> }
        """,
        ROWS,
    ),
    Case(
        "a loop until the sum of rows says so",
        """
        %y, %i = stablehlo.while(%a = %x, %b = %i0) : $R, tensor<i64>
        cond {
          %m = stablehlo.reduce(%a init: %zero) applies stablehlo.add across dimensions = [0, 1] :
              ($R, tensor<f32>) -> tensor<f32>
          %p = stablehlo.compare LT, %m, %zero : (tensor<f32>, tensor<f32>) -> tensor<i1>
          stablehlo.return %p : tensor<i1>
        }
        do { %next = stablehlo.add %a, %a : $R
          stablehlo.return %next, %b : $R, tensor<i64> }
        """,
        "runs a loop until the rows say so: sums over the rows",
    ),
    Case(
        "a loop that mixes rows",
        """
        %y, %i = stablehlo.while(%a = %x, %b = %i0) : $R, tensor<i64>
        cond { %p = stablehlo.compare LT, %b, %i0 : (tensor<i64>, tensor<i64>) -> tensor<i1>
          stablehlo.return %p : tensor<i1> }
        do { %next = stablehlo.reverse %a, dims = [0] : $R
          stablehlo.return %next, %b : $R, tensor<i64> }
        """,
        "reverses the order of the rows",
    ),
    Case(
        "a branch that no row chooses",
        """
        %y = "stablehlo.case"(%k) ({ stablehlo.return %x : $R }, {
          %z = stablehlo.negate %x : $R
          stablehlo.return %z : $R }) : (tensor<i32>) -> $R
        """,
        ROWS,
        inputs={**X4, "k": ("i32", ())},
    ),
    Case(
        "a branch that rows choose",
        """
        %m = stablehlo.reduce(%x init: %zero) applies stablehlo.add across dimensions = [0, 1] :
            ($R, tensor<f32>) -> tensor<f32>
        %p = stablehlo.compare LT, %m, %zero : (tensor<f32>, tensor<f32>) -> tensor<i1>
        %y = "stablehlo.if"(%p) ({ stablehlo.return %x : $R }, { stablehlo.return %x : $R }) :
            (tensor<i1>) -> $R
        """,
        "takes a branch that the rows choose: sums over the rows",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_verdicts(case: Case) -> None:
    check(case)
