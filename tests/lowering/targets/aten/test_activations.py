"""Activations that are spelled out: which are recognised, and that what only looks like one is not."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from expecttest import assert_expected_inline
from torch import nn

import bridge
from lowering.targets.aten.activations import recognise_activations
from lowering.targets.aten.program import AtenProgram
from tests.lowering.targets.aten.rewritten import rewritten, segment
from tests.runtime.fakes import node, tensor

Function = Callable[[torch.Tensor], torch.Tensor]

ROOT = math.sqrt(2 / math.pi)
KNOWN: dict[str, tuple[Function, str]] = {
    "gelu of GPT-2": (
        lambda x: 0.5 * x * (1.0 + torch.tanh(ROOT * (x + 0.044715 * torch.pow(x, 3.0)))),
        "aten.gelu.default",
    ),
    "gelu of ten digits": (
        lambda x: x * 0.5 * (1 + torch.tanh(x * 0.7978845608 * (1 + 0.044715 * x * x))),
        "aten.gelu.default",
    ),
    "gelu by erf": (lambda x: x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0))), "aten.gelu.default"),
    "silu": (lambda x: x * torch.sigmoid(x), "aten.silu.default"),
    "silu by exp": (lambda x: x / (1 + torch.exp(-x)), "aten.silu.default"),
}
OTHERS: dict[str, Function] = {
    "another constant": lambda x: 0.5 * x * (1.0 + torch.tanh(ROOT * (x + 0.0447 * torch.pow(x, 3.0)))),
    "another slope": lambda x: x * torch.sigmoid(1.702 * x),
    "two inputs": lambda x: x.sin() * torch.sigmoid(x.cos()),
    "a wider type": lambda x: x.double().mul(torch.sigmoid(x.double())).float() * 2,
    "a row of it": lambda x: x[:1] * torch.sigmoid(x),
    "one step": lambda x: x * 2,
    "more steps than are looked at": lambda x: x * torch.sigmoid(x + 1 - 1 + 1 - 1 + 1 - 1 + 1 - 1 + 1 - 1
    + 1 - 1 + 1 - 1 + 1 - 1),
}  # fmt: skip


class Of(nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x.abs())


def targets(function: Function, kept: tuple[str, ...] = ()) -> list[str]:
    graph = bridge.lower(Of(function), (torch.randn(4, 5),)).functional.graph
    results = {name for node in graph.nodes for name in node.results()}
    outputs = {ref.name for ref in graph.outputs if ref.name in results}
    named = {name for name in results for wanted in kept if name.startswith(wanted)}
    program = AtenProgram(graph, graph.nodes, frozenset(), {}, (*outputs, *named))
    return [node.target for node in recognise_activations(program).nodes]


@pytest.mark.parametrize("name", KNOWN)
def test_is_recognised_however_it_is_spelled(name: str) -> None:
    function, target = KNOWN[name]
    assert targets(function) == ["aten.abs.default", target]


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_activation_stays(name: str) -> None:
    graph = bridge.lower(Of(OTHERS[name]), (torch.randn(4, 5),)).functional.graph
    assert targets(OTHERS[name]) == [node.target for node in graph.nodes]


def test_a_step_that_is_read_elsewhere_stays() -> None:
    assert "aten.sigmoid.default" in targets(lambda x: x * (y := torch.sigmoid(x)) + y)
    assert "aten.sigmoid.default" in targets(lambda x: x * torch.sigmoid(x), kept=("sigmoid",))


def test_an_input_that_is_read_elsewhere_does_not_matter() -> None:
    found = targets(lambda x: (y := x.cos()) * torch.sigmoid(y) + y)
    assert found == ["aten.abs.default", "aten.cos.default", "aten.silu.default", "aten.add.Tensor"]


def test_a_gelu_that_is_spelled_out_becomes_one_node() -> None:
    nodes = [
        node("aten.div.Tensor", "scaled", self="%x", other=2**0.5),
        node("aten.erf.default", "error", self="%scaled"),
        node("aten.add.Tensor", "raised", self="%error", other=1.0),
        node("aten.mul.Tensor", "half", self="%x", other=0.5),
        node("aten.mul.Tensor", "y", self="%half", other="%raised"),
    ]
    given = segment(
        nodes, dict.fromkeys(("x", "scaled", "error", "raised", "half", "y"), tensor(4, 5)), ["y"]
    )
    assert_expected_inline(
        rewritten("activation-recognition", given),
        """\
%scaled: f32[4, 5] = aten.div.Tensor(self=%x, other=1.4142135623730951)
%error: f32[4, 5] = aten.erf.default(self=%scaled)
%raised: f32[4, 5] = aten.add.Tensor(self=%error, other=1.0)
%half: f32[4, 5] = aten.mul.Tensor(self=%x, other=0.5)
%y: f32[4, 5] = aten.mul.Tensor(self=%half, other=%raised)
=>
%y: f32[4, 5] = aten.gelu.default(self=%x, approximate='none')
""",
    )


def test_an_activation_of_a_view_moves_before_it() -> None:
    nodes = [
        node("aten.view.default", "rows", self="%x", size=(20,)),
        node("aten.silu.default", "y", self="%rows"),
    ]
    given = segment(nodes, {"x": tensor(4, 5), "rows": tensor(20), "y": tensor(20)}, ["y"])
    assert_expected_inline(
        rewritten("activation-hoisting", given),
        """\
%rows: f32[20] = aten.view.default(self=%x, size=[20])
%y: f32[20] = aten.silu.default(self=%rows)
=>
%y.inner: ? = aten.silu.default(self=%x)
%y: f32[20] = aten.view.default(self=%y.inner, size=[20])  # node rows
""",
    )
    kept = segment(nodes, dict(given.graph.values), ["rows", "y"])  # pyright: ignore[reportArgumentType]
    before, _, after = rewritten("activation-hoisting", kept).partition("=>\n")
    assert before == after
