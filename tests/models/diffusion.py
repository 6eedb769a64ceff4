"""Parts of diffusion models: denoisers, decoders, and steps of sampling."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.architectures import UNetBlock
from tests.models.model import ids
from tests.models.registry import register_model


@register_model(
    "unet-block",
    ((1, 32, 8, 8),),
    ("diffusion", "convolutional"),
    "Block of a diffusion U-Net: residual, attention, residual, upsampling",
)
def unet_block() -> nn.Module:
    return UNetBlock(32, 2, 4)


def waves(steps: torch.Tensor, width: int) -> torch.Tensor:
    """Sines and cosines of steps: [batch] to [batch, width]."""
    rates = torch.exp(-math.log(10000.0) * torch.arange(width // 2) / (width // 2))
    angles = steps.unsqueeze(1) * rates
    return torch.cat([angles.sin(), angles.cos()], 1)


class TimedResidual(nn.Module):
    """A residual block that is told the time."""

    def __init__(self, channels: int, out: int, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.GroupNorm(2, channels), nn.SiLU(), nn.Conv2d(channels, out, 3, padding=1)
        )
        self.second = nn.Sequential(nn.GroupNorm(2, out), nn.SiLU(), nn.Conv2d(out, out, 3, padding=1))
        self.time = nn.Linear(width, out)
        self.skip = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()

    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        y = self.first(x) + self.time(F.silu(time))[:, :, None, None]
        return self.skip(x) + self.second(y)


class Denoiser(nn.Module):
    """The U-Net of DDPM: down, middle, up with what was seen on the way down (Ho et al., 2020)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = 4 * channels
        self.width = width
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.into = nn.Conv2d(3, channels, 3, padding=1)
        self.down = TimedResidual(channels, channels, width)
        self.shrink = nn.Conv2d(channels, channels, 3, 2, 1)
        self.middle = TimedResidual(channels, 2 * channels, width)
        self.up = TimedResidual(3 * channels, channels, width)
        self.out = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, x: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        time = self.time(waves(steps, self.width))
        before = self.down(self.into(x), time)
        low = self.middle(self.shrink(before), time)
        high = F.interpolate(low, scale_factor=2.0, mode="nearest")
        return self.out(self.up(torch.cat([high, before], 1), time))


@register_model(
    "ddpm-unet",
    ((2, 3, 8, 8), ids(1000, 2)),
    ("diffusion", "skip-connections", "multi-input-output"),
    "DDPM: a U-Net that is told the step",
)
def ddpm_unet() -> nn.Module:
    return Denoiser(8)


class AdaptiveLayer(nn.Module):
    """A transformer layer whose norms are shifted, scaled and gated by a condition."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first = nn.LayerNorm(width, elementwise_affine=False)
        self.second = nn.LayerNorm(width, elementwise_affine=False)
        self.inputs, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width))
        self.condition = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        shift, scale, gate, shift2, scale2, gate2 = self.condition(condition).unsqueeze(1).chunk(6, 2)
        y = self.first(x) * (1 + scale) + shift
        q, k, v = (p.unflatten(2, (self.heads, -1)).transpose(1, 2) for p in self.inputs(y).chunk(3, 2))
        x = x + gate * self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + gate2 * self.mlp(self.second(x) * (1 + scale2) + shift2)


class DiffusionTransformer(nn.Module):
    """DiT: patches in a transformer that is told the step and the class (Peebles and Xie, 2023)."""

    def __init__(self, width: int, layers: int, patch: int) -> None:
        super().__init__()
        self.width, self.patch = width, patch
        self.patches = nn.Conv2d(4, width, patch, patch)
        self.places = nn.Parameter(torch.randn(1, 16, width) / 8)
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.classes = nn.Embedding(10, width)
        self.layers = nn.ModuleList([AdaptiveLayer(width, 2) for _ in range(layers)])
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.out = nn.Linear(width, 4 * patch * patch)

    def forward(self, x: torch.Tensor, steps: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        condition = self.time(waves(steps, self.width)) + self.classes(labels)
        y = self.patches(x).flatten(2).transpose(1, 2) + self.places
        for layer in self.layers:
            y = layer(y, condition)
        y = self.out(self.norm(y)).transpose(1, 2)
        return F.fold(y, x.shape[2:], self.patch, stride=self.patch)


@register_model(
    "dit",
    ((1, 4, 8, 8), ids(1000, 1), ids(10, 1)),
    ("diffusion", "attention", "multi-input-output"),
    "DiT: a transformer over patches, its norms steered by step and class",
)
def dit() -> nn.Module:
    return DiffusionTransformer(16, 2, 2)


class LatentDecoder(nn.Module):
    """The decoder of a variational autoencoder: latents to a picture four times as wide."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(4, channels, 3, padding=1),
            UNetBlock(channels, 2, 4),
            UNetBlock(channels, 2, 4),
            nn.GroupNorm(4, channels),
            nn.SiLU(),
            nn.Conv2d(channels, 3, 3, padding=1),
        )

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        return self.body(latents / 0.18215).clamp(-1, 1)


@register_model(
    "vae-decoder", ((1, 4, 4, 4),), ("diffusion", "convolutional"), "Decoder of latents to a picture"
)
def vae_decoder() -> nn.Module:
    return LatentDecoder(8)


class Sampler(nn.Module):
    """Steps of DDIM without noise, guided: the denoiser sees the class and none (Song et al., 2021)."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.network = DiffusionTransformer(16, 1, 2)
        shares = torch.cos(torch.linspace(0, 1, steps + 1) * math.pi / 2) ** 2
        self.register_buffer("shares", shares.clamp(1e-3, 1))
        self.steps = steps

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        for step in range(self.steps, 0, -1):
            now, then = self.shares[step], self.shares[step - 1]
            time = torch.full_like(labels, step)
            with_class, without = (
                self.network(x, time, labels),
                self.network(x, time, torch.zeros_like(labels)),
            )
            noise = without + 3.0 * (with_class - without)
            clean = (x - (1 - now).sqrt() * noise) / now.sqrt()
            x = then.sqrt() * clean.clamp(-3, 3) + (1 - then).sqrt() * noise
        return x


@register_model(
    "ddim-sampler",
    ((1, 4, 8, 8), ids(10, 1)),
    ("diffusion", "shared-weights"),
    "Three guided steps of DDIM in one program",
)
def ddim_sampler() -> nn.Module:
    return Sampler(3)
