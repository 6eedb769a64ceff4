"""Products whose sizes a call says get one free and one contracted axis each."""

from __future__ import annotations

from typing import Any

import pytest
from expecttest import assert_expected_inline

from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.through import dynamic_through

DOTS = stablehlo_pass("dynamic-dots")


def test_free_axes_are_merged_and_split_again() -> None:
    text = """
func.func public @main(%x: tensor<?x?x8xf32>, %w: tensor<4x8xf32>) -> tensor<?x?x4xf32> {
  %0 = stablehlo.dot_general %x, %w, contracting_dims = [2] x [1]
    : (tensor<?x?x8xf32>, tensor<4x8xf32>) -> tensor<?x?x4xf32>
  return %0 : tensor<?x?x4xf32>
}
"""
    made = dynamic_through(text, [("b", "s", 8), (4, 8)], DOTS)
    assert_expected_inline(
        made,
        """\
module {
  func.func public @main(%arg0: tensor<?x?x8xf32>, %arg1: tensor<4x8xf32>) -> tensor<?x?x4xf32> {
    %0 = stablehlo.get_dimension_size %arg0, dim = 0 : (tensor<?x?x8xf32>) -> tensor<i32>
    %1 = stablehlo.convert %0 : (tensor<i32>) -> tensor<i64>
    %2 = stablehlo.get_dimension_size %arg0, dim = 1 : (tensor<?x?x8xf32>) -> tensor<i32>
    %3 = stablehlo.convert %2 : (tensor<i32>) -> tensor<i64>
    %4 = stablehlo.multiply %1, %3 : tensor<i64>
    %c = stablehlo.constant dense<8> : tensor<i64>
    %5 = stablehlo.reshape %4 : (tensor<i64>) -> tensor<1xi64>
    %6 = stablehlo.reshape %c : (tensor<i64>) -> tensor<1xi64>
    %7 = stablehlo.concatenate %5, %6, dim = 0 : (tensor<1xi64>, tensor<1xi64>) -> tensor<2xi64>
    %c_0 = stablehlo.constant dense<4> : tensor<i64>
    %8 = stablehlo.reshape %1 : (tensor<i64>) -> tensor<1xi64>
    %9 = stablehlo.reshape %3 : (tensor<i64>) -> tensor<1xi64>
    %10 = stablehlo.reshape %c_0 : (tensor<i64>) -> tensor<1xi64>
    %11 = stablehlo.concatenate %8, %9, %10, dim = 0 : (tensor<1xi64>, tensor<1xi64>, tensor<1xi64>)
        -> tensor<3xi64>
    %12 = stablehlo.dynamic_reshape %arg0, %7 : (tensor<?x?x8xf32>, tensor<2xi64>) ->
        tensor<?x8xf32>
    %13 = stablehlo.dot_general %12, %arg1, contracting_dims = [1] x [1] : (tensor<?x8xf32>,
        tensor<4x8xf32>) -> tensor<?x4xf32>
    %14 = stablehlo.dynamic_reshape %13, %11 : (tensor<?x4xf32>, tensor<3xi64>) -> tensor<?x?x4xf32>
    return %14 : tensor<?x?x4xf32>
  }
}
""",
    )


def test_axes_of_a_batch_become_one() -> None:
    text = """
func.func public @main(%x: tensor<?x2x?x4xf32>, %y: tensor<?x2x?x4xf32>) -> tensor<?x2x?x?xf32> {
  %0 = stablehlo.dot_general %x, %y, batching_dims = [0, 1] x [0, 1], contracting_dims = [3] x [3]
    : (tensor<?x2x?x4xf32>, tensor<?x2x?x4xf32>) -> tensor<?x2x?x?xf32>
  return %0 : tensor<?x2x?x?xf32>
}
"""
    made = dynamic_through(text, [("b", 2, "s", 4), ("b", 2, "t", 4)], DOTS)
    assert "batching_dims = [0] x [0], contracting_dims = [2] x [2]" in made
    assert made.count("dynamic_reshape") == 3


def test_a_product_that_is_taken_stays() -> None:
    text = """
func.func public @main(%x: tensor<?x8xf32>, %w: tensor<4x8xf32>) -> tensor<?x4xf32> {
  %0 = stablehlo.dot_general %x, %w, contracting_dims = [1] x [1]
    : (tensor<?x8xf32>, tensor<4x8xf32>) -> tensor<?x4xf32>
  return %0 : tensor<?x4xf32>
}
"""
    assert "reshape" not in dynamic_through(text, [("b", 8), (4, 8)], DOTS)


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("tensor<?xf32>, tensor<?xf32>) -> tensor<f32> | [0] x [0]", [("n",), ("n",)]),
        ("tensor<1x?xf32>, tensor<4x?xf32>) -> tensor<1x4xf32> | [1] x [1]", [(1, "n"), (4, "n")]),
        ("tensor<?x1xf32>, tensor<1x?xf32>) -> tensor<?x?xf32> | [1] x [0]", [("m", 1), (1, "n")]),
        ("tensor<?x?xf32>, tensor<?xf32>) -> tensor<?xf32> | [1] x [0]", [("m", "n"), ("n",)]),
    ],
)
def test_products_of_one_row_or_one_term_are_spelled_term_by_term(text: str, sizes: list[Any]) -> None:
    """IREE spells them by reshapes that it cannot do at such sizes."""
    types, axes = text.split(" | ")
    left, right = types.partition(")")[0].split(", ")
    result = types.partition("-> ")[2]
    module = f"""
func.func public @main(%x: {left}, %y: {right}) -> {result} {{
  %0 = stablehlo.dot_general %x, %y, contracting_dims = {axes} : ({types}
  return %0 : {result}
}}
"""
    made = dynamic_through(module, sizes, DOTS)
    assert "dot_general" not in made
    assert "stablehlo.multiply" in made
    assert "stablehlo.reduce" in made
