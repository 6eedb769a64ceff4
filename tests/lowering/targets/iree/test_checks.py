"""Barriers before reductions of booleans whose sizes a call says."""

from __future__ import annotations

from lowering.targets.iree.checks import hold_checks
from tests.lowering.targets.iree.through import function, text_through


def reduction(element: str, size: str) -> str:
    combine = "arith.ori" if element == "i1" else "arith.addi"
    return function(
        f"(%x: tensor<{size}x{element}>, %init: tensor<{element}>) -> tensor<{element}>",
        "%0 = linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>, affine_map<(d0) -> ()>],",
        f'  iterator_types = ["reduction"]}} ins(%x : tensor<{size}x{element}>)',
        f"  outs(%init : tensor<{element}>) {{",
        f"^bb0(%in: {element}, %out: {element}):",
        f"  %1 = {combine} %in, %out : {element}",
        f"  linalg.yield %1 : {element}",
        f"}} -> tensor<{element}>",
        f"util.return %0 : tensor<{element}>",
    )


def test_booleans_of_a_size_of_the_call_are_computed_before() -> None:
    made = text_through(reduction("i1", "?"), hold_checks)
    assert "util.optimization_barrier %arg0 : tensor<?xi1>" in made
    assert "flow.tensor.tie_shape" in made
    assert "ins(%1 : tensor<?xi1>)" in made


def test_other_reductions_stay() -> None:
    for element, size in (("i1", "7"), ("i32", "?")):
        assert "barrier" not in text_through(reduction(element, size), hold_checks)
