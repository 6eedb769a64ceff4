"""Bounds of integers: the places that rows are looked up at, and comparisons that they decide."""

from __future__ import annotations

import pytest

from tests.lowering.stablehlo.rows.modules import Case, S, check, twice

# The number of each row, moved as an index that may be negative is, and what a check says of it.
NUMBERS = """
    %j = stablehlo.dynamic_iota %n1, dim = 0 : ($D) -> tensor<?xi64>
    %least = stablehlo.negate %n : tensor<i64>
    %zeros = stablehlo.dynamic_broadcast_in_dim %i0, %n1, dims = [] : (tensor<i64>, $D) -> tensor<?xi64>
    %most = stablehlo.dynamic_broadcast_in_dim %n, %n1, dims = [] : (tensor<i64>, $D) -> tensor<?xi64>
    %low = stablehlo.compare LT, %j, %zeros : (tensor<?xi64>, tensor<?xi64>) -> tensor<?xi1>
    %high = stablehlo.compare GE, %j, %most : (tensor<?xi64>, tensor<?xi64>) -> tensor<?xi1>
    %wrong = stablehlo.or %low, %high : tensor<?xi1>
    %from = stablehlo.maximum %j, %zeros : tensor<?xi64>
    %moved = stablehlo.add %from, %most : tensor<?xi64>
    %at = stablehlo.select %low, %moved, %from : tensor<?xi1>, tensor<?xi64>
"""
ANY = """
    %y = stablehlo.reduce(%wrong init: %no) applies stablehlo.or across dimensions = [0] :
        (tensor<?xi1>, tensor<i1>) -> tensor<i1>
"""
# Elements of rows of 4 that lie side by side, by the place of the row and one in the row.
FLAT = """
    %flat = stablehlo.dynamic_reshape %x, %four : ($R, $D) -> tensor<?xf32>
    %w = stablehlo.constant dense<{width}> : tensor<i64>
    %last = stablehlo.constant dense<{last}> : tensor<i64>
    %width = stablehlo.dynamic_broadcast_in_dim %w, %n1, dims = [] : (tensor<i64>, $D) -> tensor<?xi64>
    %lasts = stablehlo.dynamic_broadcast_in_dim %last, %n1, dims = [] : (tensor<i64>, $D) -> tensor<?xi64>
    %k0 = stablehlo.maximum %k, %zeros : tensor<?xi64>
    %k1 = stablehlo.minimum %k0, %lasts : tensor<?xi64>
    %begin = stablehlo.multiply {row}, %width : tensor<?xi64>
    %place = stablehlo.add %begin, %k1 : tensor<?xi64>
    %n_1 = stablehlo.concatenate %n1, %c1, dim = 0 : ($D, $D) -> $S
    %places = stablehlo.dynamic_reshape %place, %n_1 : (tensor<?xi64>, $S) -> tensor<?x1xi64>
    %y = "stablehlo.gather"(%flat, %places) <{{dimension_numbers = #stablehlo.gather<
        collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>,
        slice_sizes = array<i64: 1>}}> : (tensor<?xf32>, tensor<?x1xi64>) -> tensor<?xf32>
"""
GIVEN = {"x": ("f32", (S, 4)), "k": ("i64", (S,))}
COLUMN = {"y": ("f32", (S,))}

CASES = [
    Case("no number of a row is out of bounds", NUMBERS + ANY, {"y": None}, results={"y": ("i1", ())}),
    Case(
        "an element of each row",
        NUMBERS + FLAT.format(width=4, last=3, row="%at"),
        {"y": 0},
        GIVEN,
        COLUMN,
    ),
    Case(
        "an element of the next row at times",
        NUMBERS + FLAT.format(width=4, last=4, row="%at"),
        "looks rows up by their numbers",
        GIVEN,
        COLUMN,
    ),
    Case(
        "rows that are too narrow",
        NUMBERS + FLAT.format(width=3, last=2, row="%at"),
        "looks rows up by their numbers",
        GIVEN,
        COLUMN,
    ),
    Case(
        "rows by data",
        NUMBERS + FLAT.format(width=4, last=3, row="%k"),
        "looks rows up by their numbers",
        GIVEN,
        COLUMN,
    ),
    Case(
        "the difference of sizes that is a number",
        """
        %more = stablehlo.add %n, %n : tensor<i64>
        %same = stablehlo.subtract %more, %more : tensor<i64>
        %f = stablehlo.convert %same : (tensor<i64>) -> tensor<f32>
        %z = stablehlo.dynamic_broadcast_in_dim %f, %twice, dims = [] : (tensor<f32>, $D) -> tensor<?xf32>
        %y = stablehlo.negate %z : tensor<?xf32>
        """,
        {"y": (0, 2)},
        results={"y": ("f32", (twice(S),))},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_verdicts(case: Case) -> None:
    check(case)
