"""Pads by amounts that a call says are joins."""

from __future__ import annotations

import pytest

from lowering.ir.errors import EngineError
from lowering.ir.program import Range
from lowering.ir.symbols import Symbol
from lowering.stablehlo.passes import stablehlo_pass
from lowering.stablehlo.passes.dynamic_pads import never_crops
from lowering.stablehlo.symbolic import Assumptions
from tests.lowering.stablehlo.passes.through import dynamic_through

PADS = stablehlo_pass("dynamic-pads")
PAD = """
func.func public @main(%x: tensor<?x3xf32>, %y: tensor<?xf32>) -> tensor<?x5xf32> {
  %n = stablehlo.get_dimension_size %y, dim = 0 : (tensor<?xf32>) -> tensor<i32>
  %nv = stablehlo.reshape %n : (tensor<i32>) -> tensor<1xi32>
  %no = stablehlo.constant dense<0> : tensor<1xi32>
  %minus = stablehlo.subtract %no, %nv : tensor<1xi32>
  %four = stablehlo.constant dense<4> : tensor<1xi32>
  %rest = stablehlo.remainder %minus, %four : tensor<1xi32>
  %some = stablehlo.add %rest, %four : tensor<1xi32>
  %fill = stablehlo.remainder %some, %four : tensor<1xi32>
  %low = stablehlo.concatenate AMOUNT, %no, dim = 0 : (tensor<1xi32>, tensor<1xi32>) -> tensor<2xi32>
  %high = stablehlo.constant dense<[0, 2]> : tensor<2xi32>
  %gaps = stablehlo.constant dense<GAPS> : tensor<2xi32>
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  %0 = stablehlo.dynamic_pad %x, %zero, %low, %high, %gaps : (tensor<?x3xf32>, tensor<f32>,
      tensor<2xi32>, tensor<2xi32>, tensor<2xi32>) -> tensor<?x5xf32>
  return %0 : tensor<?x5xf32>
}
"""


def pad(amount: str, gaps: str = "0") -> str:
    text = PAD.replace("AMOUNT", amount).replace("GAPS", gaps)
    return dynamic_through(text, [("b", 3), ("n",)], PADS)


def test_a_pad_is_a_join_with_the_fill() -> None:
    made = pad("%nv")
    assert "dynamic_pad" not in made
    flat = " ".join(made.split())
    assert "%arg0, dim = 0 : (tensor<?x3xf32>, tensor<?x3xf32>) -> tensor<?x3xf32>" in flat
    assert "dim = 1 : (tensor<?x3xf32>, tensor<?x2xf32>) -> tensor<?x5xf32>" in flat


def test_an_amount_up_to_a_multiple_crops_nothing() -> None:
    assert "dynamic_pad" not in pad("%fill")


def test_an_amount_up_to_a_multiple_of_multiples_crops_nothing() -> None:
    assumptions = Assumptions({"n": Range(1, None)}, {"n": 40})
    size = assumptions.size(Symbol("n"))
    blocks = -(-size // 16)
    of_blocks = -(-blocks // 16)
    assert never_crops(16 * of_blocks - blocks)
    assert not never_crops(15 * of_blocks - blocks)
    assert not never_crops(16 * of_blocks - blocks - 1)


def test_amounts_that_may_crop_and_gaps_are_refused() -> None:
    with pytest.raises(EngineError, match="may crop"):
        pad("%minus")
    with pytest.raises(EngineError, match="gaps of"):
        pad("%nv", "1")


def test_a_crop_is_a_slice_before_the_pad() -> None:
    text = """
func.func public @main(%x: tensor<?x3xf32>) -> tensor<?x3xf32> {
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  %0 = stablehlo.pad %x, %zero, low = [1, 0], high = [-1, 0], interior = [0, 0]
    : (tensor<?x3xf32>, tensor<f32>) -> tensor<?x3xf32>
  return %0 : tensor<?x3xf32>
}
"""
    made = dynamic_through(text, [("b", 3)], PADS)
    assert "stablehlo.real_dynamic_slice %arg0" in made
    assert "low = [1, 0], high = [0, 0]" in made
