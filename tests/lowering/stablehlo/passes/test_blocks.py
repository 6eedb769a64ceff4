"""Forms of attention, and of convolutions that are products: same results, in the form that was wanted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from itertools import product
from math import prod

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import bridge
from lowering.host.weights import materialise
from lowering.ir.module import Module
from lowering.stablehlo.hlo import text_of
from lowering.stablehlo.passes import Form, blocks
from lowering.stablehlo.passes.form import form
from lowering.targets import get_engine
from lowering.targets.target import Target

Inputs = tuple[torch.Tensor, ...]


def _run(module: Module, lowered: bridge.Lowered, inputs: Inputs) -> list[torch.Tensor]:
    engine, target = get_engine("xla"), Target()
    weights = materialise(lowered.weights, [p.weight for p in module.inputs if p.weight is not None])
    run = engine.load(engine.compile(module, target), module, target, weights)
    return [engine.to_torch(h).clone() for h in run([engine.from_tensor(x, target) for x in inputs])]


def _formed(module: nn.Module, inputs: Inputs, wanted: Form) -> Counter[str]:
    """The operations of the form, whose results are those of the canonical module."""
    lowered = bridge.lower(module, inputs)
    canonical = lowered.module(0)
    formed = form(canonical, wanted)
    for got, want in zip(_run(formed, lowered, inputs), _run(canonical, lowered, inputs), strict=True):
        torch.testing.assert_close(got, want)
    return Counter(re.findall(r"stablehlo\.(\w+)", text_of(formed.code)))


# ------------------------------------------------------------------------------------ attention


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
    monkeypatch.setattr(blocks, "_BLOCK", most)
    module, example = ATTENTION[name]
    counts = _formed(module, example(), Form(blocks=True))
    assert counts["dot_general"] > 2
    assert counts["concatenate"]


def test_no_block_has_more_scores_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_BLOCK", 1 << 12)
    lowered = bridge.lower(Attention(), _heads(3, 40, 8))
    text = text_of(form(lowered.module(0), Form(blocks=True)).code)
    shapes = re.findall(r"exponential .*tensor<([\dx]+)xf32>", text)
    assert shapes
    assert all(4 * prod(map(int, shape.split("x"))) <= 1 << 12 for shape in shapes)


def test_a_block_is_used_up_before_the_next_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """One head's products have no batch axes."""
    monkeypatch.setattr(blocks, "_BLOCK", 1 << 12)
    lowered = bridge.lower(Attention(), _heads(3, 32, 8))
    text = text_of(form(lowered.module(0), Form(blocks=True)).code)
    products = [line for line in text.splitlines() if "dot_general" in line]
    scores = ["-> tensor<32x32xf32>" in line for line in products]
    assert scores == [True, False] * 6
    assert not any("batching_dims" in line for line in products)


def test_small_attention_stays_whole() -> None:
    counts = _formed(Attention(), _heads(3, 32, 16), Form(blocks=True))
    assert counts["dot_general"] == 2
    assert not counts["concatenate"]


@pytest.mark.parametrize("module", [ScoresToo(), Mixed()], ids=["scores are a result", "rows depend on rows"])
def test_what_cannot_be_split_stays(module: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_BLOCK", 1 << 12)
    counts = _formed(module, _heads(3, 32, 32), Form(blocks=True))
    assert counts["dot_general"] == 2


def test_products_with_batch_axes_get_axes_that_vectors_divide() -> None:
    lowered = bridge.lower(Attention(), _heads(2, 37, 8))
    text = text_of(form(lowered.module(0), Form(even=True)).code)
    assert "2x2x48x48" in text
    _formed(Attention(), _heads(2, 37, 8), Form(even=True))


# ------------------------------------------------------------------------------------ convolutions


def _image(channels: int, *sizes: int) -> Inputs:
    return (torch.randn(2, channels, *sizes, generator=torch.Generator().manual_seed(0)),)


def _seeded(build: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return build().eval()


WINOGRAD = Form(channels_last=True, winograd=True)


@pytest.mark.parametrize(
    ("size", "padding"),
    [*product([(8, 8), (7, 9), (3, 4)], [0, 1, (2, 0)]), ((1, 2), 1)],
)
def test_winograd_is_the_same(size: tuple[int, int], padding: int | tuple[int, int]) -> None:
    convolution = _seeded(lambda: nn.Conv2d(32, 40, 3, padding=padding))
    counts = _formed(convolution, _image(32, *size), WINOGRAD)
    assert not counts["convolution"]
    assert counts["dot_general"] == 1


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(32, 32, 3, stride=2),
        nn.Conv2d(32, 32, 3, dilation=2),
        nn.Conv2d(64, 64, 3, groups=2),
        nn.Conv2d(8, 32, 3),
        nn.Conv2d(32, 32, 5),
    ],
    ids=["strides", "dilation", "groups", "few channels", "more taps"],
)
def test_winograd_is_for_dense_3x3_convolutions(convolution: nn.Conv2d) -> None:
    counts = _formed(convolution.eval(), _image(convolution.in_channels, 9, 9), WINOGRAD)
    assert counts["convolution"] == 1


class Given(nn.Module):
    """A convolution whose kernel comes with the call."""

    def forward(self, x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, kernel)


def test_winograd_is_for_kernels_of_weights() -> None:
    inputs = (*_image(32, 6, 6), torch.randn(32, 32, 3, 3))
    counts = _formed(Given(), inputs, WINOGRAD)
    assert counts["convolution"] == 1


@pytest.mark.parametrize("size", [(8, 12), (9, 13)], ids=["whole", "with a rest"])
def test_patches_side_by_side_are_a_product(size: tuple[int, int]) -> None:
    convolution = _seeded(lambda: nn.Conv2d(3, 8, (2, 4), stride=(2, 4)))
    counts = _formed(convolution, _image(3, *size), Form(channels_last=True))
    assert not counts["convolution"]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 3])
def test_convolutions_along_a_line_are_a_product(stride: int, dilation: int) -> None:
    convolution = _seeded(lambda: nn.Conv1d(6, 8, 3, stride, padding=2, dilation=dilation))
    counts = _formed(convolution, _image(6, 17), Form(channels_last=True, im2col=True, lines=True))
    assert not counts["convolution"]
    assert counts["dot_general"] == 1


def test_convolutions_of_halves_are_a_product() -> None:
    convolution = _seeded(lambda: nn.Conv2d(6, 8, 3, padding=1).bfloat16())
    wanted = Form(channels_last=True, im2col=True)
    assert not _formed(convolution, (_image(6, 9, 9)[0].bfloat16(),), wanted)["convolution"]
    assert _formed(convolution.float(), _image(6, 9, 9), wanted)["convolution"] == 1
