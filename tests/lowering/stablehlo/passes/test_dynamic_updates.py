"""Slices that are written into tensors whose sizes a call says become selections by place."""

from __future__ import annotations

from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.through import dynamic_through

UPDATES = stablehlo_pass("dynamic-updates")


def update(value: str, part: str, starts: int) -> str:
    names = ", ".join(["%i"] * starts)
    types = ", ".join(["tensor<i64>"] * starts)
    return f"""
func.func public @main(%x: tensor<{value}xf32>, %y: tensor<{part}xf32>, %i: tensor<i64>)
    -> tensor<{value}xf32> {{
  %0 = stablehlo.dynamic_update_slice %x, %y, {names}
    : (tensor<{value}xf32>, tensor<{part}xf32>, {types}) -> tensor<{value}xf32>
  return %0 : tensor<{value}xf32>
}}
"""


def test_a_row_is_chosen_by_its_place() -> None:
    made = dynamic_through(update("?x8", "1x8", 2), [("n", 8), (1, 8), ()], UPDATES)
    assert "dynamic_update_slice" not in made
    assert made.count("stablehlo.select") == 1
    assert "torch_index_select" not in made


def test_several_rows_are_looked_up_first() -> None:
    made = dynamic_through(update("?x8", "?x8", 2), [("n", 8), ("m", 8), ()], UPDATES)
    assert made.count("stablehlo.torch_index_select") == 1
    assert made.count("stablehlo.select") == 1


def test_what_fills_all_of_it_stands_for_it() -> None:
    made = dynamic_through(update("?x8", "?x8", 2), [("n", 8), ("n", 8), ()], UPDATES)
    assert "select" not in made
    assert "return %arg1" in made


def test_others_stay() -> None:
    made = dynamic_through(update("4x8", "2x8", 2), [(4, 8), (2, 8), ()], UPDATES)
    assert "dynamic_update_slice" in made
