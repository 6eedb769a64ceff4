"""Without bfloat16, products of it are of float32."""

from __future__ import annotations

import re

import pytest
import torch
from expecttest import assert_expected_inline
from torch import nn

import bridge
from lowering.host.processor import processor
from lowering.ir.errors import EngineError
from lowering.stablehlo.hlo import text_of
from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.through import text_through, through

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


GIVEN = """
func.func public @main(%x: tensor<4x8xbf16>, %w: tensor<8x3xbf16>) -> tensor<4x3xf32> {
  %0 = stablehlo.dot_general %x, %w, contracting_dims = [1] x [0]
    : (tensor<4x8xbf16>, tensor<8x3xbf16>) -> tensor<4x3xf32>
  return %0 : tensor<4x3xf32>
}
"""


def test_operands_are_widened_by_their_bits() -> None:
    assert_expected_inline(
        text_through(GIVEN, stablehlo_pass("bfloat16-through-float32")),
        """\
module {
  func.func public @main(%arg0: tensor<4x8xbf16>, %arg1: tensor<8x3xbf16>) -> tensor<4x3xf32> {
    %0 = stablehlo.bitcast_convert %arg0 : (tensor<4x8xbf16>) -> tensor<4x8xui16>
    %1 = stablehlo.convert %0 : (tensor<4x8xui16>) -> tensor<4x8xui32>
    %c = stablehlo.constant dense<16> : tensor<ui32>
    %2 = stablehlo.broadcast_in_dim %c, dims = [] : (tensor<ui32>) -> tensor<4x8xui32>
    %3 = stablehlo.shift_left %1, %2 : tensor<4x8xui32>
    %4 = stablehlo.bitcast_convert %3 : (tensor<4x8xui32>) -> tensor<4x8xf32>
    %5 = stablehlo.bitcast_convert %arg1 : (tensor<8x3xbf16>) -> tensor<8x3xui16>
    %6 = stablehlo.convert %5 : (tensor<8x3xui16>) -> tensor<8x3xui32>
    %c_0 = stablehlo.constant dense<16> : tensor<ui32>
    %7 = stablehlo.broadcast_in_dim %c_0, dims = [] : (tensor<ui32>) -> tensor<8x3xui32>
    %8 = stablehlo.shift_left %6, %7 : tensor<8x3xui32>
    %9 = stablehlo.bitcast_convert %8 : (tensor<8x3xui32>) -> tensor<8x3xf32>
    %10 = stablehlo.dot_general %4, %9, contracting_dims = [1] x [0] : (tensor<4x8xf32>,
        tensor<8x3xf32>) -> tensor<4x3xf32>
    return %10 : tensor<4x3xf32>
  }
}
""",
    )
