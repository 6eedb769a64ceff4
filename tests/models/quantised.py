"""Networks of integers: weights, activations, or both."""

from __future__ import annotations

from importlib import import_module

import torch
import transformers as hf
from torch import nn
from torch.nn import functional as F

from tests.models.attention import CAUSAL
from tests.models.model import Leaves, ids
from tests.models.registry import register_model

import_module("torch.ao.quantization.fx._decomposed")

I8 = torch.int8
_QUANTISED = ("quantised",)


def steps_of(x: torch.Tensor, scale: float, zero: int = 0) -> torch.Tensor:
    """Rounded to steps of a scale and back, as the export quantiser writes it."""
    ops = torch.ops.quantized_decomposed
    whole = ops.quantize_per_tensor(x, scale, zero, -128, 127, I8)
    return ops.dequantize_per_tensor(whole, scale, zero, -128, 127, I8)


class ByChannel(nn.Module):
    """A weight as int8 with a scale per output channel."""

    def __init__(self, layer: nn.Conv2d | nn.Linear) -> None:
        super().__init__()
        weight = layer.weight.detach()
        scales = weight.flatten(1).abs().amax(1) / 127
        shape = (-1, *[1] * (weight.dim() - 1))
        self.register_buffer("whole", torch.round(weight / scales.view(shape)).clamp(-127, 127).to(I8))
        self.register_buffer("scales", scales)
        self.register_buffer("zeros", torch.zeros_like(scales, dtype=torch.int64))

    def forward(self) -> torch.Tensor:
        return torch.ops.quantized_decomposed.dequantize_per_channel(
            self.whole, self.scales, self.zeros, 0, -127, 127, I8
        )


class StaticConvolution(nn.Module):
    """Convolutions with activations and weights rounded to int8, as exported after calibration."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second = nn.Conv2d(3, channels, 3, 2, 1), nn.Conv2d(channels, channels, 3, padding=1)
        self.first, self.second = ByChannel(first), ByChannel(second)
        self.scores = nn.Linear(channels, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = steps_of(x, 0.03)
        x = steps_of(F.relu(F.conv2d(x, self.first(), stride=2, padding=1)), 0.02, -128)
        x = steps_of(F.relu(F.conv2d(x, self.second(), padding=1)), 0.02, -128)
        return self.scores(x.mean((2, 3)))


@register_model(
    "int8-convolutions",
    ((1, 3, 12, 12),),
    (*_QUANTISED, "convolutional"),
    "Static quantisation: int8 activations and weights, a scale per channel",
)
def int8_convolutions() -> nn.Module:
    return StaticConvolution(6)


class DynamicLinear(nn.Module):
    """Rows rounded to int8 at run time, a product of integers, scales multiplied back."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        weight = torch.randn(out, width) / width**0.5
        self.register_buffer("scales", weight.abs().amax(1) / 127)
        self.register_buffer("whole", torch.round(weight / self.scales.unsqueeze(1)).to(I8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale = x.abs().amax(1, keepdim=True).clamp(min=1e-5) / 127
        rows = torch.round(x / scale).clamp(-127, 127).to(I8)
        product = torch._int_mm(rows, self.whole.t())
        return product.to(x.dtype) * scale * self.scales


@register_model(
    "int8-dynamic", ((32, 16),), _QUANTISED, "Dynamic quantisation: products of int8, summed in int32"
)
def int8_dynamic() -> nn.Module:
    return nn.Sequential(DynamicLinear(16, 32), nn.ReLU(), DynamicLinear(32, 8))


class FourBits(nn.Module):
    """Weights of four bits, two a byte, with a scale and a zero per group of a row."""

    def __init__(self, width: int, out: int, group: int) -> None:
        super().__init__()
        self.group = group
        nibbles = torch.randint(0, 16, (out, width), dtype=torch.uint8)
        self.register_buffer("packed", nibbles[:, ::2] | (nibbles[:, 1::2] << 4))
        self.register_buffer("scales", torch.rand(out, width // group) / 20)
        self.register_buffer("zeros", torch.randint(6, 10, (out, width // group), dtype=torch.uint8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        low, high = self.packed & 15, self.packed >> 4
        whole = torch.stack([low, high], 2).flatten(1).unflatten(1, (-1, self.group))
        weight = (whole.to(x.dtype) - self.zeros.unsqueeze(2)) * self.scales.unsqueeze(2)
        return F.linear(x, weight.flatten(1))


@register_model(
    "int4-weights",
    ((3, 16),),
    _QUANTISED,
    "Weights of four bits, two a byte, in groups",
)
def int4_weights() -> nn.Module:
    return nn.Sequential(FourBits(16, 24, 8), nn.GELU(), FourBits(24, 8, 8))


@register_model(
    "bitnet", (ids(99, 1, 6),), (*_QUANTISED, "attention"), "BitNet's decoder: norms before each projection"
)
def bitnet() -> nn.Module:
    return Leaves(hf.BitNetForCausalLM(hf.BitNetConfig(**CAUSAL)))


class TernaryLinear(nn.Module):
    """Weights of -1, 0 and 1 with one scale, inputs in int8: BitNet b1.58's layer (Ma et al., 2024)."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        weight = torch.randn(out, width) / width**0.5
        scale = weight.abs().mean()
        self.register_buffer("weight", torch.round(weight / scale).clamp(-1, 1).to(I8))
        self.register_buffer("scale", scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        step = x.abs().amax(-1, keepdim=True).clamp(min=1e-5) / 127
        rounded = torch.round(x / step).clamp(-128, 127)
        return F.linear(rounded, self.weight.to(x.dtype)) * (step * self.scale)


@register_model(
    "ternary", ((3, 16),), _QUANTISED, "Ternary weights: -1, 0 and 1, inputs rounded to eight bits"
)
def ternary() -> nn.Module:
    return nn.Sequential(TernaryLinear(16, 24), nn.SiLU(), TernaryLinear(24, 8))
