"""Attention in blocks has the same results."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import prod

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import bridge
from lowering.stablehlo.hlo import text_of
from lowering.stablehlo.passes import attention_in_blocks, stablehlo_pass
from tests.lowering.stablehlo.passes.through import operations, same_results, through

Inputs = tuple[torch.Tensor, ...]


IN_BLOCKS = stablehlo_pass("attention-in-blocks")


class Attention(nn.Module):
    def __init__(self, **options: object) -> None:
        super().__init__()
        self.options = options

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(*inputs, **self.options)


class Written(nn.Module):
    """Attention out of its parts, with a bias, and the scores' largest beside."""

    def forward(self, q: torch.Tensor, k: torch.Tensor, bias: torch.Tensor, v: torch.Tensor) -> Inputs:
        scores = q @ k.mT + bias
        return torch.softmax(scores, -1) @ v, scores.logsumexp(-1)


class ScoresToo(nn.Module):
    """The scores are a result: nothing would be saved."""

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> Inputs:
        weights = torch.softmax(q @ k.mT, -1)
        return weights @ v, weights


class Mixed(nn.Module):
    """Rows that depend on other rows."""

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        scores = q @ k.mT
        return torch.softmax(scores - scores.cumsum(-2), -1) @ v


def _heads(count: int, tokens: int, size: int, others: int = 3, batch: int = 2) -> Inputs:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(batch, count, tokens, size, generator=generator) for _ in range(others))


def _grouped() -> Inputs:
    q, k, v = _heads(6, 40, 8)
    return q, k[:, :2], v[:, :2]


ATTENTION: dict[str, tuple[nn.Module, Callable[[], Inputs]]] = {
    "plain": (Attention(), lambda: _heads(3, 40, 8)),
    "causal": (Attention(is_causal=True), lambda: _heads(3, 40, 8)),
    "a mask": (Attention(), lambda: (*_heads(3, 40, 8), torch.randn(2, 1, 40, 40) > 0)),
    "one mask": (Attention(), lambda: (*_heads(3, 40, 8), torch.randn(40, 40))),
    "grouped": (Attention(enable_gqa=True), _grouped),
    "halves": (Attention(), lambda: tuple(x.bfloat16() for x in _heads(3, 40, 8))),
    "parts": (Written(), lambda: (*_heads(3, 40, 8, 2), torch.randn(1, 3, 40, 40), *_heads(3, 40, 8, 1))),
}


@pytest.mark.parametrize("name", ATTENTION)
@pytest.mark.parametrize("most", [1 << 12, 1 << 14], ids=["some rows of a head", "some heads"])
def test_attention_in_blocks_is_the_same(name: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_in_blocks, "_BLOCK", most)
    module, example = ATTENTION[name]
    counts = same_results(module, example(), IN_BLOCKS)
    assert counts["dot_general"] > 2
    assert counts["concatenate"]


def test_no_block_has_more_scores_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_in_blocks, "_BLOCK", 1 << 12)
    lowered = bridge.lower(Attention(), _heads(3, 40, 8))
    text = text_of(through(lowered.module(0), IN_BLOCKS).code)
    shapes = re.findall(r"exponential .*tensor<([\dx]+)xf32>", text)
    assert shapes
    assert all(4 * prod(map(int, shape.split("x"))) <= 1 << 12 for shape in shapes)


def test_a_block_is_used_up_before_the_next_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """One head's products have no batch axes."""
    monkeypatch.setattr(attention_in_blocks, "_BLOCK", 1 << 12)
    lowered = bridge.lower(Attention(), _heads(3, 32, 8))
    text = text_of(through(lowered.module(0), IN_BLOCKS).code)
    products = [line for line in text.splitlines() if "dot_general" in line]
    scores = ["-> tensor<32x32xf32>" in line for line in products]
    assert scores == [True, False] * 6
    assert not any("batching_dims" in line for line in products)


def test_small_attention_stays_whole() -> None:
    counts = same_results(Attention(), _heads(3, 32, 16), IN_BLOCKS)
    assert counts["dot_general"] == 2
    assert not counts["concatenate"]


@pytest.mark.parametrize("module", [ScoresToo(), Mixed()], ids=["scores are a result", "rows depend on rows"])
def test_what_cannot_be_split_stays(module: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_in_blocks, "_BLOCK", 1 << 12)
    counts = same_results(module, _heads(3, 32, 32), IN_BLOCKS)
    assert counts["dot_general"] == 2


class OnBothSides(nn.Module):
    """The second product takes scores on its right, too."""

    def forward(self, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        scores = (q @ k.transpose(-1, -2)).softmax(-1)
        return scores @ scores[..., :8]


def test_a_product_of_scores_with_scores_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_in_blocks, "_BLOCK", 1 << 12)
    module = bridge.lower(OnBothSides(), _heads(1, 64, 8, 2, batch=1)).module(0)
    counts = operations(through(module, IN_BLOCKS))
    assert (counts["dot_general"], counts["concatenate"]) == (2, 0)
