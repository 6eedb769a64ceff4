"""Reshapes whose sizes a call says merge and split axes."""

from __future__ import annotations

import pytest
from expecttest import assert_expected_inline

from lowering.ir.errors import EngineError
from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.through import dynamic_through

RESHAPES = stablehlo_pass("dynamic-reshapes")
HEAD = """
func.func public @main(%x: tensor<GIVEN>) -> tensor<MADE> {
  %b = stablehlo.get_dimension_size %x, dim = 0 : (tensor<GIVEN>) -> tensor<i32>
  %s = stablehlo.get_dimension_size %x, dim = 1 : (tensor<GIVEN>) -> tensor<i32>
  %bv = stablehlo.reshape %b : (tensor<i32>) -> tensor<1xi32>
  %sv = stablehlo.reshape %s : (tensor<i32>) -> tensor<1xi32>
  %bs = stablehlo.multiply %bv, %sv : tensor<1xi32>
  %two = stablehlo.constant dense<2> : tensor<1xi32>
  %four = stablehlo.constant dense<4> : tensor<1xi32>
  %one = stablehlo.constant dense<1> : tensor<1xi32>
  %shape = stablehlo.concatenate SIZES, dim = 0 : (TYPES) -> tensor<COUNTxi32>
  %0 = stablehlo.dynamic_reshape %x, %shape : (tensor<GIVEN>, tensor<COUNTxi32>) -> tensor<MADE>
  return %0 : tensor<MADE>
}
"""


def reshape(given: str, made: str, *sizes: str) -> str:
    values = {
        "GIVEN": given,
        "MADE": made,
        "SIZES": ", ".join(f"%{size}" for size in sizes),
        "TYPES": ", ".join(["tensor<1xi32>"] * len(sizes)),
        "COUNT": str(len(sizes)),
    }
    text = HEAD
    for name, value in values.items():
        text = text.replace(name, value)
    return text


def test_an_axis_is_split_by_sizes_of_the_call() -> None:
    text = reshape("?x?x8xf32", "?x?x2x4xf32", "bv", "sv", "two", "four")
    assert_expected_inline(
        dynamic_through(text, [("b", "s", 8)], RESHAPES),
        """\
module {
  func.func public @main(%arg0: tensor<?x?x8xf32>) -> tensor<?x?x2x4xf32> {
    %c0 = arith.constant 0 : index
    %dim = tensor.dim %arg0, %c0 : tensor<?x?x8xf32>
    %c1 = arith.constant 1 : index
    %dim_0 = tensor.dim %arg0, %c1 : tensor<?x?x8xf32>
    %expanded = tensor.expand_shape %arg0 [[0], [1], [2, 3]] output_shape [%dim, %dim_0, 2, 4] :
        tensor<?x?x8xf32> into tensor<?x?x2x4xf32>
    return %expanded : tensor<?x?x2x4xf32>
  }
}
""",
    )


def test_axes_are_merged() -> None:
    text = reshape("?x?x4xf32", "?x4xf32", "bs", "four")
    made = dynamic_through(text, [("b", "s", 4)], RESHAPES)
    assert "tensor.collapse_shape %arg0 [[0, 1], [2]]" in made
    assert "expand_shape" not in made


def test_axes_of_one_element_come_and_go() -> None:
    text = reshape("?x?x4xf32", "1x?x1x?x4x1xf32", "one", "bv", "one", "sv", "four", "one")
    made = dynamic_through(text, [("b", "s", 4)], RESHAPES)
    assert "tensor.expand_shape %arg0 [[0, 1], [2, 3], [4, 5]]" in made


def test_what_is_not_in_runs_is_one_axis_in_between() -> None:
    text = reshape("?x?x4xf32", "?x?x4xf32", "sv", "bv", "four")
    made = dynamic_through(text, [("b", "s", 4)], RESHAPES)
    assert "tensor.collapse_shape %arg0 [[0, 1], [2]]" in made
    assert "tensor.expand_shape %collapsed [[0, 1], [2]]" in made


def test_a_reshape_to_a_scalar_is_refused() -> None:
    text = """
func.func public @main(%x: tensor<?xf32>) -> tensor<f32> {
  %shape = stablehlo.constant dense<> : tensor<0xi32>
  %0 = stablehlo.dynamic_reshape %x, %shape : (tensor<?xf32>, tensor<0xi32>) -> tensor<f32>
  return %0 : tensor<f32>
}
"""
    with pytest.raises(EngineError, match=r"stablehlo.dynamic_reshape has no code for all sizes"):
        dynamic_through(text, [("b",)], RESHAPES)
