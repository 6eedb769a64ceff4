"""Without bfloat16, products of it are of float32."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

import bridge
from lowering.host.processor import processor
from lowering.ir.errors import EngineError
from lowering.stablehlo.hlo import text_of
from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.through import through

WIDENED = stablehlo_pass("bfloat16-through-float32")


class Attention(nn.Module):
    """Two products with batch axes, of which none is a weight."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = torch.matmul(x, x.transpose(1, 2))
        return torch.matmul(scores.softmax(-1), x)


class Looped(nn.Module):
    """A product in a region."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 0, lambda x: self.layer(x), lambda x: x + 1, (x,))


def _noise(*sizes: int) -> torch.Tensor:
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(0))


CASES: dict[str, tuple[nn.Module, torch.Tensor]] = {
    "product": (nn.Linear(24, 10), _noise(3, 24)),
    "row": (nn.Linear(24, 10), _noise(1, 24)),
    "row of three axes": (nn.Linear(24, 40), _noise(1, 1, 24)),
    "attention": (Attention(), _noise(2, 5, 8)),
    "convolution": (nn.Conv2d(3, 8, 3, stride=2, padding=1), _noise(2, 3, 9, 9)),
    "convolution of many channels": (nn.Conv2d(32, 33, 3, padding=1), _noise(1, 32, 6, 6)),
    "along a line": (nn.Conv1d(4, 6, 3), _noise(1, 4, 9)),
    "depthwise": (nn.Conv2d(8, 8, 3, groups=8), _noise(1, 8, 6, 6)),
    "grouped": (nn.Conv2d(8, 8, 3, groups=2), _noise(1, 8, 6, 6)),
    "transposed": (nn.ConvTranspose2d(8, 8, 4, stride=2), _noise(1, 8, 6, 6)),
    "in a branch": (Looped(), _noise(2, 8).abs()),
}
LEVELS = ("host", "x86-64-v3", "x86-64-v2")


def lowered_of(name: str) -> tuple[nn.Module, torch.Tensor, bridge.Lowered]:
    torch.manual_seed(0)
    module, x = CASES[name]
    module, x = module.to(torch.bfloat16).eval(), x.to(torch.bfloat16)
    return module, x, bridge.lower(module, (x,))


@pytest.mark.parametrize("name", CASES)
def test_only_a_row_times_a_weight_keeps_bfloat16(name: str) -> None:
    _, _, lowered = lowered_of(name)
    text = text_of(through(lowered.module(0), WIDENED).code)
    products = re.findall(r"stablehlo\.(?:dot_general|convolution).* : \((.*?)\) ->", text)
    assert products
    assert all(("bf16" in operands) == name.startswith("row") for operands in products)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", CASES)
def test_results_are_sums_of_float32_rounded_once(
    name: str, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against sums of float64, rounded: a sum of float32 differs by one bit where it falls near a tie."""
    monkeypatch.setenv("BRIDGE_CPU", level)
    try:
        processor()
    except EngineError as error:
        pytest.skip(str(error))
    module, x, lowered = lowered_of(name)
    got = lowered.compile("iree")(x)
    wanted = module.double()(x.double()) if name != "attention" else Attention()(x)
    assert got.dtype is torch.bfloat16
    torch.testing.assert_close(got.double(), wanted.double(), rtol=2**-7, atol=2**-9)
