"""Which tensors are overwritten on ATen, and that results, and what the caller gave, are as before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from expecttest import assert_expected_inline
from torch import nn

import bridge
from bridge.compilation import compile_configured
from bridge.configuration import ATEN, Configuration
from tests.lowering.targets.aten.rewritten import rewritten, segment
from tests.models.decoding import buffer_address
from tests.runtime.fakes import node, tensor

Function = Callable[[torch.Tensor, torch.Tensor], Any]

# A name: the function, of tensors [4, 6] and [6], and the operators in place that it ends up with.
CASES: dict[str, tuple[Function, list[str]]] = {
    "a chain": (lambda x, y: torch.relu(x * 2 + y).neg(), ["add_", "relu_", "neg_"]),
    "the second operand": (lambda x, y: x + torch.sin(x), ["add_"]),
    "not one that is scaled": (lambda x, y: torch.add(x, torch.sin(x), alpha=2), []),
    "not an input": (lambda x, y: torch.relu(x), []),
    "not what is returned": (lambda x, y: ((z := x.sin()), torch.relu(z)), []),
    "not what is read again": (lambda x, y: torch.relu(z := x.sin()) + z.cos(), ["add_"]),
    "not what a view is of": (lambda x, y: ((z := x.sin())[0], torch.relu(z))[1] + z[0].cos(), ["add_"]),
    "not a view": (lambda x, y: torch.relu(x.sin()[0]), []),
    "not what is smaller": (lambda x, y: x - y.sin(), []),
    "not another type": (lambda x, y: x.sin() > 0, []),
    "not a wider type": (lambda x, y: x.sin() * y.double(), []),
    "squares": (lambda x, y: (z := x.sin()) * z, []),
    "the same twice": (lambda x, y: x.sin() / x.sin().cos(), ["cos_", "div_"]),
    "attention's mask": (lambda x, y: torch.where(x > 0, x.sin(), y.cos()).exp(), ["exp_"]),
}


class Of(nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
        return self.function(x, y)


def on_aten(module: nn.Module, *args: torch.Tensor, packed: bool = False) -> tuple[Any, list[str]]:
    """The program compiled, and its operators in place by name."""
    compiled = compile_configured(bridge.lower(module, args), Configuration(ATEN, packed=packed))
    (executable,) = compiled.executor.loaded.on_host
    names = [node.target.split(".")[1] for node in executable.nodes]
    return compiled, [name for name in names if name.endswith("_")]


@pytest.mark.parametrize("name", CASES)
def test_what_is_overwritten(name: str) -> None:
    function, wanted = CASES[name]
    x, y = torch.randn(4, 6), torch.randn(6)
    before = x.clone(), y.clone()
    compiled, found = on_aten(Of(function), x, y)
    assert found == wanted
    for _ in range(2):
        torch.testing.assert_close(compiled(x, y), function(x, y), rtol=0, atol=0)
    assert torch.equal(x, before[0])
    assert torch.equal(y, before[1])


def test_strides_are_those_of_eager() -> None:
    """In place on the second operand, a sum would have its strides, and the view would fail."""

    def function(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (x + torch.sin(x.t().contiguous().t())).view(-1)

    x, y = torch.randn(4, 6), torch.randn(6)
    compiled, found = on_aten(Of(function), x, y)
    assert found == []
    torch.testing.assert_close(compiled(x, y), function(x, y), rtol=0, atol=0)


def test_what_layers_make_is_overwritten() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.Hardsigmoid())
    x = torch.randn(2, 3, 8, 8)
    compiled, found = on_aten(module, x, packed=True)
    assert found == ["relu_", "hardsigmoid_"]
    torch.testing.assert_close(compiled(x), module(x))


def test_a_buffer_that_is_updated_is_still_updated_in_place() -> None:
    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.zeros(4, 6))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.mean.mul_(0.9).add_(x.sin() * 0.1)
            return torch.relu(self.mean + 1)

    module, x = Mean(), torch.randn(4, 6)
    compiled, _ = on_aten(module, x)
    where = set()
    for _ in range(3):
        torch.testing.assert_close(compiled(x), module(x))
        where.add(buffer_address(compiled, "mean"))
    assert len(where) == 1
    torch.testing.assert_close(torch.as_tensor(compiled.buffers["mean"]), module.mean)


def test_a_chain_of_elementwise_nodes_overwrites_its_first_result() -> None:
    nodes = [
        node("aten.sin.default", "a", self="%x"),
        node("aten.add.Tensor", "b", self="%x", other="%a"),
        node("aten.relu.default", "kept", self="%b"),
        node("aten.neg.default", "y", self="%kept"),
    ]
    given = segment(nodes, dict.fromkeys(("x", "a", "b", "kept", "y"), tensor(4, 6)), ["kept", "y"])
    assert_expected_inline(
        rewritten("buffer-reuse", given),
        """\
%a: f32[4, 6] = aten.sin.default(self=%x)
%b: f32[4, 6] = aten.add.Tensor(self=%x, other=%a)
%kept: f32[4, 6] = aten.relu.default(self=%b)
%y: f32[4, 6] = aten.neg.default(self=%kept)
=>
%a: f32[4, 6] = aten.sin.default(self=%x)
%b: f32[4, 6] = aten.add_.Tensor(self=%a, other=%x, alpha=1)
%kept: f32[4, 6] = aten.relu_.default(self=%b)
%y: f32[4, 6] = aten.neg.default(self=%kept)
""",
    )
