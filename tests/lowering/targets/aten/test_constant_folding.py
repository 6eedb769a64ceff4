"""What is computed once: of weights and numbers alone, never what a call's result would share or draw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from expecttest import assert_expected_inline
from torch import nn

import bridge
from bridge.compiled.compiled import Compiled
from lowering.targets.errors import ExecutionError
from tests.lowering.targets.aten.rewritten import rewritten, segment
from tests.runtime.fakes import node, tensor


class Of(nn.Module):
    """A function of a weight, a buffer and an input."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 3))
        self.register_buffer("seen", torch.zeros(3))
        self.function = function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(self, x)


def on_aten(function: Callable[..., Any]) -> tuple[Of, Compiled]:
    module = Of(function)
    compiled = bridge.lower(module, (torch.randn(2, 3),)).compile("aten")
    assert isinstance(compiled, Compiled)
    return module, compiled


def targets(compiled: Compiled) -> Counter[str]:
    """How often each target is called."""
    (executable,) = compiled.executor.loaded.on_host
    return Counter(node.target for node in executable.nodes)


def seen(own: Of, x: torch.Tensor) -> torch.Tensor:
    own.seen.add_(x.sum(0))
    return own.seen * 2


# A function, and how many nodes are left.
CASES: dict[str, tuple[Callable[..., Any], int]] = {
    "a transposed weight": (lambda own, x: x @ own.weight.t().exp(), 1),
    "numbers": (lambda own, x: x + torch.arange(3) * 2.0, 1),
    "what is returned": (lambda own, x: (x + 1, own.weight.exp()), 2),
    "what does not fit": (lambda own, x: x + torch.ones(1 << 23).sum(), 3),
    "a view of what does not": (lambda own, x: x + torch.ones(1 << 23)[:3], 3),
    "a buffer that is written": (seen, 3),
    "random numbers": (lambda own, x: x + torch.rand(3) * 0, 3),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_left(name: str) -> None:
    function, left = CASES[name]
    module, compiled = on_aten(function)
    for _ in range(2):
        x = torch.randn(2, 3)
        torch.testing.assert_close(compiled(x), module(x))
    assert targets(compiled).total() == left, targets(compiled)


def test_a_result_is_not_a_view_of_what_is_kept() -> None:
    _, compiled = on_aten(lambda own, x: (x + 1, torch.zeros(2, 3).view(6)))
    compiled(torch.randn(2, 3))[1].fill_(7)
    assert compiled(torch.randn(2, 3))[1].tolist() == [0.0] * 6


def test_what_fails_fails_when_it_is_called() -> None:
    _, compiled = on_aten(lambda own, x: x + own.weight[torch.tensor([9])])
    with pytest.raises(ExecutionError, match="index 9 is out of bounds"):
        compiled(torch.randn(2, 3))


def test_a_chain_of_a_weight_becomes_one_constant() -> None:
    nodes = [
        node("aten.t.default", "turned", self="%w"),
        node("aten.exp.default", "raised", self="%turned"),
        node("aten.mm.default", "y", self="%x", mat2="%raised"),
    ]
    types = {
        "w": tensor(4, 3),
        "turned": tensor(3, 4),
        "raised": tensor(3, 4),
        "x": tensor(2, 3),
        "y": tensor(2, 4),
    }
    given = segment(nodes, types, ["y"], {"w": torch.zeros(4, 3)})
    assert_expected_inline(
        rewritten("constant-folding", given),
        """\
constant %w: float32[4, 3]
%turned: f32[3, 4] = aten.t.default(self=%w)
%raised: f32[3, 4] = aten.exp.default(self=%turned)
%y: f32[2, 4] = aten.mm.default(self=%x, mat2=%raised)
=>
constant %raised: float32[3, 4]
%y: f32[2, 4] = aten.mm.default(self=%x, mat2=%raised)
""",
    )
