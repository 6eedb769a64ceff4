"""Quantised programs: every integer is eager's, on every engine; their operators need no package to lower."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import bridge
from tests.ops.torchao_operators import register

importlib.import_module("torch.ao.quantization.fx._decomposed")
register()

I8 = torch.int8
RANGE = (-128, 127, I8)


class ByTensor(nn.Module):
    """As the export quantiser writes dynamic quantisation."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        ops = torch.ops.quantized_decomposed
        scale, zero = ops.choose_qparams.tensor(x, -128, 127, 2.0**-12, I8)
        steps = ops.quantize_per_tensor.tensor(x, scale, zero, *RANGE)
        return steps, ops.dequantize_per_tensor.tensor(steps, scale, zero, *RANGE)


class ByToken(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        ops = torch.ops.quantized_decomposed
        scales, zeros = ops.choose_qparams_per_token_asymmetric.default(x, I8)
        steps = ops.quantize_per_token.default(x, scales, zeros, *RANGE)
        return steps, ops.dequantize_per_token.default(steps, scales, zeros, *RANGE, torch.float32)


class ByBlock(nn.Module):
    """As torchao writes it."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        ops, block = torch.ops.torchao, [1, x.shape[1]]
        scale, zero = ops.choose_qparams_affine(x, "ASYMMETRIC", block, I8, zero_point_dtype=I8)
        steps = ops.quantize_affine(x, block, scale, zero, I8)
        return steps, ops.dequantize_affine(steps, block, scale, zero, I8)


class ByHand(nn.Module):
    """As it is once it is decomposed: the scale in float32, then its reciprocal."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        scale = (x.abs().amax(1, keepdim=True) / 127.5).clamp(min=1e-5)
        steps = torch.round(x * (1.0 / scale)).clamp(-128, 127).to(I8)
        return steps, steps * scale


def rows() -> torch.Tensor:
    """Multiples of half a step of each row, so that many lie between two integers."""
    generator = torch.Generator().manual_seed(0)
    largest = torch.rand(200, 1, generator=generator) * 3 + 0.1
    halves = torch.randint(-255, 256, (200, 64), generator=generator) / 2
    return torch.cat([largest, largest / 127.5 * halves], 1)


@pytest.mark.parametrize("engine", ["xla", "iree", "aten"])
@pytest.mark.parametrize("kind", [ByTensor, ByToken, ByBlock, ByHand])
def test_every_integer_is_eager_s(kind: type[nn.Module], engine: str) -> None:
    x = rows()
    lowered = bridge.lower(kind(), (x,))
    assert set(lowered.placement.values()) == {"stablehlo"}
    steps, values = lowered.compile(engine)(x)
    expected = kind()(x)
    assert torch.equal(steps, expected[0])
    torch.testing.assert_close(values, expected[1])


def test_lowering_takes_neither_torch_nor_the_package(tmp_path: Path) -> None:
    path = tmp_path / "m.pt2"
    torch.export.save(torch.export.export(ByBlock(), (torch.randn(3, 8),)), path)
    code = (
        "import sys, bridge; lowered = bridge.lower(sys.argv[1]); "
        "print(set(lowered.placement.values()), {'torch', 'torchao'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert run.stdout == "{'stablehlo'} set()\n"
