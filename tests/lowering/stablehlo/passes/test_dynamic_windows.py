"""Convolutions and reductions of windows at sizes that a call says become shifted copies."""

from __future__ import annotations

from typing import Any

import pytest

from lowering.ir.errors import EngineError
from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.through import dynamic_through

WINDOWS = stablehlo_pass("dynamic-windows")


def convolution(
    input: str, kernel: str, result: str, groups: int = 1, pad: int = 1, gaps: str = "1, 1"
) -> str:
    return f"""
func.func public @main(%x: tensor<{input}xf32>, %w: tensor<{kernel}xf32>) -> tensor<{result}xf32> {{
  %0 = stablehlo.convolution(%x, %w) dim_numbers = [b, f, 0, 1]x[o, i, 0, 1]->[b, f, 0, 1],
    window = {{pad = [[{pad}, {pad}], [{pad}, {pad}]], lhs_dilate = [{gaps}]}}
    {{batch_group_count = 1 : i64, feature_group_count = {groups} : i64}}
    : (tensor<{input}xf32>, tensor<{kernel}xf32>) -> tensor<{result}xf32>
  return %0 : tensor<{result}xf32>
}}
"""


def pooling(fold: str, window: int = 3) -> str:
    return f"""
func.func public @main(%x: tensor<?x8xf32>) -> tensor<?x{9 - window}xf32> {{
  %c = stablehlo.constant dense<0.0> : tensor<f32>
  %0 = "stablehlo.reduce_window"(%x, %c) <{{window_dimensions = array<i64: 1, {window}>}}> ({{
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %1 = stablehlo.{fold} %a, %b : tensor<f32>
    stablehlo.return %1 : tensor<f32>
  }}) : (tensor<?x8xf32>, tensor<f32>) -> tensor<?x{9 - window}xf32>
  return %0 : tensor<?x{9 - window}xf32>
}}
"""


def test_a_dense_one_is_one_product() -> None:
    text = convolution("?x4x?x?", "6x4x3x3", "?x6x?x?")
    made = dynamic_through(text, [("b", 4, "h", "w"), (6, 4, 3, 3)], WINDOWS)
    assert "stablehlo.convolution" not in made
    assert made.count("stablehlo.dot_general") == 1
    assert made.count("stablehlo.real_dynamic_slice") == 9


def test_a_depthwise_one_is_a_sum_of_products() -> None:
    text = convolution("?x4x?x?", "4x1x3x3", "?x4x?x?", groups=4)
    made = dynamic_through(text, [("b", 4, "h", "w"), (4, 1, 3, 3)], WINDOWS)
    assert "dot_general" not in made
    assert made.count("stablehlo.multiply") >= 9


def test_groups_are_products_of_their_own() -> None:
    text = convolution("?x4x?x?", "6x2x1x1", "?x6x?x?", groups=2, pad=0)
    made = dynamic_through(text, [("b", 4, "h", "w"), (6, 2, 1, 1)], WINDOWS)
    assert made.count("stablehlo.dot_general") == 2


def test_gaps_are_zeros_between_the_elements() -> None:
    text = convolution("?x4x?x?", "6x4x3x3", "?x6x?x?", pad=2, gaps="2, 2")
    made = dynamic_through(text, [("b", 4, "h", "w"), (6, 4, 3, 3)], WINDOWS)
    assert "stablehlo.convolution" not in made
    assert made.count("stablehlo.pad") == 3


def test_what_iree_takes_stays() -> None:
    text = convolution("?x4x8x8", "6x4x3x3", "?x6x8x8")
    assert "stablehlo.convolution" in dynamic_through(text, [("b", 4, 8, 8), (6, 4, 3, 3)], WINDOWS)


@pytest.mark.parametrize("fold", ["add", "maximum", "minimum"])
def test_a_reduction_folds_copies(fold: str) -> None:
    made = dynamic_through(pooling(fold), [("b", 8)], WINDOWS)
    assert "reduce_window" not in made
    assert made.count(f"stablehlo.{fold}") == 3


@pytest.mark.parametrize(
    ("text", "sizes", "why"),
    [
        (convolution("?x4x8x8", "?x4x3x3", "?x?x8x8"), [("b", 4, 8, 8), ("o", 4, 3, 3)], "its kernel"),
        (convolution("?x4x?x?", "6x4x12x12", "?x6x?x?"), [("b", 4, "h", "w"), (6, 4, 12, 12)], "144 taps"),
        (pooling("multiply"), [("b", 8)], "more than one operation"),
    ],
)
def test_others_are_refused(text: str, sizes: list[Any], why: str) -> None:
    with pytest.raises(EngineError, match=why):
        dynamic_through(text, sizes, WINDOWS)
