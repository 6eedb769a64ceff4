"""Networks that transformers does not have, as modules with default initialisation."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F


class Bottleneck(NamedTuple):
    """A row of MobileNetV3's table; `middle` and `out` are channels."""

    kernel: int
    middle: int
    out: int
    squeezes: bool
    activation: type[nn.Module]
    stride: int


# "Searching for MobileNetV3" (Howard et al., 2019), table 1.
_LARGE = (
    Bottleneck(3, 16, 16, False, nn.ReLU, 1),
    Bottleneck(3, 64, 24, False, nn.ReLU, 2),
    Bottleneck(3, 72, 24, False, nn.ReLU, 1),
    Bottleneck(5, 72, 40, True, nn.ReLU, 2),
    Bottleneck(5, 120, 40, True, nn.ReLU, 1),
    Bottleneck(5, 120, 40, True, nn.ReLU, 1),
    Bottleneck(3, 240, 80, False, nn.Hardswish, 2),
    Bottleneck(3, 200, 80, False, nn.Hardswish, 1),
    Bottleneck(3, 184, 80, False, nn.Hardswish, 1),
    Bottleneck(3, 184, 80, False, nn.Hardswish, 1),
    Bottleneck(3, 480, 112, True, nn.Hardswish, 1),
    Bottleneck(3, 672, 112, True, nn.Hardswish, 1),
    Bottleneck(5, 672, 160, True, nn.Hardswish, 2),
    Bottleneck(5, 960, 160, True, nn.Hardswish, 1),
    Bottleneck(5, 960, 160, True, nn.Hardswish, 1),
)


def _convolution(
    channels: int,
    out: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    activation: type[nn.Module] = nn.Identity,
) -> nn.Sequential:
    """A convolution that keeps the size but for the stride, batch norm, activation."""
    convolution = nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out), activation())


def _in_eights(channels: int) -> int:
    """The nearest multiple of eight that takes away no more than a tenth."""
    nearest = max(8, (channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


class _Squeeze(nn.Module):
    """Squeeze and excite: each channel times a weight made of all channels' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = _in_eights(channels // 4)
        self.weights = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.ReLU(),
            nn.Conv2d(squeezed, channels, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weights(x)


class _Inverted(nn.Module):
    """Widen by a 1x1 convolution, filter each channel, narrow again; added to the input where sizes agree."""

    def __init__(self, channels: int, row: Bottleneck) -> None:
        super().__init__()
        self.adds = row.stride == 1 and channels == row.out
        wider = row.middle != channels
        self.body = nn.Sequential(
            _convolution(channels, row.middle, 1, activation=row.activation) if wider else nn.Identity(),
            _convolution(row.middle, row.middle, row.kernel, row.stride, row.middle, row.activation),
            _Squeeze(row.middle) if row.squeezes else nn.Identity(),
            _convolution(row.middle, row.out, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x) if self.adds else self.body(x)


class MobileNetV3(nn.Module):
    """MobileNetV3-Large: images [batch, 3, size, size] to scores [batch, classes].

    `rows`: how many rows of the table it has.
    """

    def __init__(self, rows: int = len(_LARGE), classes: int = 1000) -> None:
        super().__init__()
        blocks: list[nn.Module] = [_convolution(3, 16, 3, 2, activation=nn.Hardswish)]
        channels = 16
        for row in _LARGE[:rows]:
            blocks.append(_Inverted(channels, row))
            channels = row.out
        self.features = nn.Sequential(
            *blocks, _convolution(channels, 6 * channels, 1, activation=nn.Hardswish), nn.AdaptiveAvgPool2d(1)
        )
        self.scores = nn.Sequential(
            nn.Linear(6 * channels, 8 * channels), nn.Hardswish(), nn.Linear(8 * channels, classes)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scores(self.features(x).flatten(1))


class _Residual(nn.Module):
    """Group norm, SiLU and a 3x3 convolution, twice, added to the input."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(groups, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(groups, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class _Attention(nn.Module):
    """Self-attention of all places of an image, added to it."""

    def __init__(self, channels: int, heads: int, groups: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(groups, channels)
        self.queries = nn.Linear(channels, channels)
        self.keys = nn.Linear(channels, channels)
        self.values = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        places = self.norm(x).flatten(2).transpose(1, 2)
        split = [
            layer(places).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for layer in (self.queries, self.keys, self.values)
        ]
        mixed = F.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)
        return x + self.out(mixed).transpose(1, 2).unflatten(2, x.shape[2:])


class UNetBlock(nn.Module):
    """A block on the way up of a diffusion U-Net: [batch, channels, size, size] to twice the size.

    Residual block, self-attention, residual block, nearest neighbours, convolution.
    """

    def __init__(self, channels: int = 320, heads: int = 8, groups: int = 32) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _Residual(channels, groups),
            _Attention(channels, heads, groups),
            _Residual(channels, groups),
            nn.Upsample(scale_factor=2.0, mode="nearest"),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


class Experts(nn.Module):
    """A mixture of experts, [batch, tokens, width] to the same; each token goes to two.

    The dispatch is dense, so that no size depends on data: every expert sees every token, and the weight of
    those that were not chosen is zero.
    """

    def __init__(self, width: int = 512, hidden: int = 1024, experts: int = 8, chosen: int = 2) -> None:
        super().__init__()
        self.chosen = chosen
        self.router = nn.Linear(width, experts, bias=False)
        self.up = nn.Parameter(torch.randn(experts, width, hidden) / width**0.5)
        self.down = nn.Parameter(torch.randn(experts, hidden, width) / hidden**0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.flatten(0, 1)
        scores = self.router(tokens)
        best, which = scores.topk(self.chosen)
        weights = torch.zeros_like(scores).scatter(1, which, best.softmax(1))
        hidden = F.silu(torch.matmul(tokens, self.up))
        outputs = torch.matmul(hidden, self.down)
        return (outputs * weights.t().unsqueeze(2)).sum(0).view_as(x)


class Recurrent(nn.Module):
    """An LSTM's outputs: [batch, steps, width] to the same."""

    def __init__(self, width: int = 256, layers: int = 2) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, width, layers, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(x)[0]


def mlp(width: int = 512, hidden: int = 2048) -> nn.Module:
    """Two linear layers with a GELU between."""
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))


class Chain(nn.Module):
    """`links` times a product, a sum and a tanh, element by element."""

    def __init__(self, links: int = 40) -> None:
        super().__init__()
        self.links = links

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(self.links):
            x = torch.tanh(x * 1.1 + 0.1)
        return x
