"""Barriers before loop nests that look up elements of a tensor whose sizes a call says."""

from __future__ import annotations

import pytest
import torch
from torch.export import Dim

import bridge
from lowering.targets.iree.lookups import hold_lookups
from tests.lowering.targets.iree.through import function, text_through

MAP = "affine_map<(i) -> (i)>"
SAME, ALL = f"indexing_maps = [{MAP}, {MAP}]", 'iterator_types = ["parallel"]'


def lookup(of: str, size: str = "?", twice: bool = False) -> str:
    """A module that reverses the argument `%x`, or its double `%y`; `twice`: each element added to itself."""
    t = f"tensor<{size}xf32>"
    return function(
        f"(%x: {t}, %n: index) -> {t}",
        f"%e = tensor.empty({'%n' if size == '?' else ''}) : {t}",
        f"%y = linalg.generic {{{SAME}, {ALL}}} ins(%x : {t}) outs(%e : {t}) {{",
        "^bb0(%a: f32, %b: f32):",
        "  %d = arith.addf %a, %a : f32",
        "  linalg.yield %d : f32",
        f"}} -> {t}",
        f"%r = linalg.generic {{indexing_maps = [{MAP}], {ALL}}} outs(%e : {t}) {{",
        "^bb0(%a: f32):",
        "  %i = linalg.index 0 : index",
        "  %j = arith.subi %n, %i : index",
        f"  %m = tensor.extract %{of}[%j] : {t}",
        f"  %k = tensor.extract %{of if twice else 'x'}[%i] : {t}",
        "  %s = arith.addf %m, %k : f32",
        "  linalg.yield %s : f32",
        f"}} -> {t}",
        f"util.return %r : {t}",
    )


def test_a_tensor_is_computed_once_before_its_elements_are_looked_up() -> None:
    made = text_through(lookup("y", twice=True), hold_lookups)
    assert made.count("util.optimization_barrier") == 1
    assert made.count("tensor.extract %3[") == 2, made
    assert "%3 = flow.tensor.tie_shape" in made


@pytest.mark.parametrize("text", [lookup("x"), lookup("y", "7")])
def test_arguments_and_tensors_of_plain_sizes_stay(text: str) -> None:
    assert "barrier" not in text_through(text, hold_lookups)


class Positions(torch.nn.Module):
    """RoBERTa's positions: a running sum over a mask, and the mask is read again after the sum."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        mask = ids.ne(1).int()
        return torch.cumsum(mask, dim=1).type_as(mask) * mask


def test_a_running_sum_of_a_mask_has_a_binary_for_all_sizes() -> None:
    ids = torch.randint(0, 3, (3, 7))
    sizes = {0: Dim("batch", max=8), 1: Dim("length", max=640)}
    lowered = bridge.lower(Positions(), (ids,), dynamic_shapes=(sizes,))
    compiled = lowered.compile("iree", on_new_size="dynamic")
    assert not compiled.report.no_dynamic
    for batch, length in ((1, 1), (2, 16), (8, 17), (1, 640)):
        ids = torch.randint(0, 3, (batch, length))
        assert torch.equal(compiled(ids), Positions()(ids))
    assert compiled.report.tiers["dynamic"]
