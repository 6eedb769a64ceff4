"""Random operators: with the same seed, eager's numbers, in eager's order, and the same state afterwards."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

import bridge
from bridge.errors import BridgeError
from tests.bridge.calls import Call


class Recurrent(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.LSTM(6, 5, 2, dropout=0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)[0]


X = torch.arange(24.0).reshape(4, 6) / 10
Q = torch.linspace(-2, 2, 64).reshape(1, 2, 4, 8)


def in_place(x: torch.Tensor) -> torch.Tensor:
    drawn = [x.clone().uniform_(), x.clone().normal_(), x.clone().exponential_(), x.clone().geometric_(0.3)]
    drawn += [
        x.clone().cauchy_(),
        x.clone().log_normal_(),
        x.clone().random_(),
        x.clone().bernoulli_(0.3),
    ]
    return torch.stack(drawn)


def reordered(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """What could be drawn first is drawn last."""
    first = (x @ x.T).sin().exp() + torch.rand(4, 4)
    second = F.dropout((x.cos().exp() * 2 + 1) @ torch.rand(6, 6), 0.5, True).sin().exp().sqrt()
    return first, torch.rand_like(second.cos().exp() * 2), torch.randn(3), second


def in_a_branch(x: torch.Tensor) -> torch.Tensor:
    drawn = torch.cond(x.sum() > 0, lambda x: F.dropout(x, 0.5, True), lambda x: x + torch.rand_like(x), (x,))
    return drawn + torch.rand(4, 6)


def across_strides(x: torch.Tensor) -> torch.Tensor:
    """Numbers are drawn in the order of memory, and this is not row-major in eager."""
    y = (x.sin().exp() * 2 + 1).sqrt().t()
    return F.dropout(y, 0.5, True)


CASES: dict[str, tuple[Any, tuple[torch.Tensor, ...]]] = {
    "dropout": (lambda x: F.dropout(x, 0.3, True) * 2, (X,)),
    "rand, randn": (lambda x: x + torch.rand(4, 6) + torch.randn(4, 6), (X,)),
    "randint": (lambda x: x + torch.randint(0, 9, (4, 6)), (X,)),
    "bernoulli": (lambda x: torch.bernoulli(x / 3) + torch.bernoulli(x, 0.2), (X,)),
    "multinomial": (lambda x: torch.multinomial(x + 1, 3), (X,)),
    "normal": (lambda x: torch.normal(x, 1.0) + torch.normal(0.0, x + 1) + torch.normal(x, x + 1), (X,)),
    "randperm": (lambda x: x[torch.randperm(4)], (X,)),
    "like": (lambda x: torch.rand_like(x) + torch.randn_like(x) + torch.randint_like(x, 9), (X,)),
    "in place": (in_place, (X,)),
    "attention": (lambda q: F.scaled_dot_product_attention(q, q, q, dropout_p=0.4), (Q,)),
    "alpha dropout": (lambda x: F.alpha_dropout(x, 0.3, True), (X,)),
    "whole channels": (lambda q: F.dropout2d(q, 0.5, True), (Q,)),
    "rrelu": (lambda x: F.rrelu(x - 1, training=True), (X,)),
    "gumbel": (lambda x: F.gumbel_softmax(x), (X,)),
    "poisson": (lambda x: torch.poisson(x), (X,)),
    "unused": (lambda x: (torch.rand(5), x.sin() + torch.rand(4, 6))[1], (X,)),
    "reordered": (reordered, (X,)),
    "in a branch": (in_a_branch, (X,)),
    "across strides": (across_strides, (X,)),
}
MODULES: dict[str, tuple[torch.nn.Module, tuple[torch.Tensor, ...]]] = {
    **{name: (Call(fn), inputs) for name, (fn, inputs) in CASES.items()},
    "lstm": (Recurrent().train(), (X,)),
    "encoder": (torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.3, batch_first=True).train(), (Q[0],)),
}
DECOMPOSED = [name for name in MODULES if name != "in place"]


@pytest.mark.parametrize("name", MODULES)
def test_as_exported(name: str) -> None:
    module, inputs = MODULES[name]
    _compare(torch.export.export(module, inputs), inputs, "xla")


@pytest.mark.parametrize("name", ["reordered", "across strides", "encoder"])
def test_on_iree(name: str) -> None:
    module, inputs = MODULES[name]
    _compare(torch.export.export(module, inputs), inputs, "iree")


@pytest.mark.parametrize("name", DECOMPOSED)
def test_decomposed(name: str) -> None:
    module, inputs = MODULES[name]
    _compare(torch.export.export(module, inputs).run_decompositions({}), inputs, "xla")


def _compare(exported: torch.export.ExportedProgram, inputs: tuple[torch.Tensor, ...], engine: str) -> None:
    compiled = bridge.lower(exported).compile(engine)
    module = exported.module()
    with torch.no_grad():
        torch.manual_seed(3)
        wanted = [module(*inputs) for _ in range(3)]
        state = torch.get_rng_state()
        torch.manual_seed(3)
        found = [compiled(*inputs) for _ in range(3)]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_generator_of_the_models_own_is_refused_in_one_sentence() -> None:
    generator = torch.Generator().manual_seed(7)
    drawing = Call(lambda x: x + torch.rand(4, 6, generator=generator))
    with pytest.raises(BridgeError) as caught:
        bridge.lower(drawing, (X,))
    assert str(caught.value).startswith("the program draws from a torch.Generator of its own")
    assert "\n" not in str(caught.value)
