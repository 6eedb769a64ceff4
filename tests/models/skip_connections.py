"""Networks whose layers see more than the layer before."""

from __future__ import annotations

import torch
from torch import nn

from tests.models.registry import register_model


class DenseLayer(nn.Module):
    """Norm, ReLU, 1x1 and 3x3 convolution; what they add is joined to all that came before."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, 4 * growth, 1, bias=False),
            nn.BatchNorm2d(4 * growth),
            nn.ReLU(),
            nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.body(x)], 1)


class DenseNet(nn.Module):
    """Dense blocks with transitions between, which halve channels and size (Huang et al., 2017)."""

    def __init__(self, growth: int, blocks: tuple[int, ...], classes: int) -> None:
        super().__init__()
        channels = 2 * growth
        layers: list[nn.Module] = [nn.Conv2d(3, channels, 3, 2, 1, bias=False)]
        for index, count in enumerate(blocks):
            if index:
                layers += [nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels // 2, 1)]
                layers += [nn.AvgPool2d(2)]
                channels //= 2
            for _ in range(count):
                layers.append(DenseLayer(channels, growth))
                channels += growth
        self.features = nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.ReLU())
        self.scores = nn.Linear(channels, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scores(self.features(x).mean((2, 3)))


@register_model(
    "densenet",
    ((1, 3, 16, 16),),
    ("skip-connections", "convolutional"),
    "DenseNet: each layer sees the outputs of all before it",
)
def densenet() -> nn.Module:
    return DenseNet(4, (2, 2), 10)


class Highway(nn.Module):
    """A gate per number says how much of it is made anew (Srivastava et al., 2015)."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.makes = nn.ModuleList([nn.Linear(width, width) for _ in range(layers)])
        self.gates = nn.ModuleList([nn.Linear(width, width) for _ in range(layers)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for make, gate in zip(self.makes, self.gates, strict=True):
            share = torch.sigmoid(gate(x))
            x = share * torch.tanh(make(x)) + (1 - share) * x
        return x


@register_model(
    "highway", ((4, 16),), ("skip-connections",), "Highway network: gates between a layer and its input"
)
def highway() -> nn.Module:
    return Highway(16, 4)


class Mixer(nn.Module):
    """Two perceptrons in turn, across places and across channels (Tolstikhin et al., 2021)."""

    def __init__(self, places: int, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.across = nn.Sequential(nn.Linear(places, 2 * places), nn.GELU(), nn.Linear(2 * places, places))
        self.along = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.across(self.first(x).transpose(1, 2)).transpose(1, 2)
        return x + self.along(self.second(x))


class MLPMixer(nn.Module):
    def __init__(self, width: int, layers: int, classes: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.layers = nn.Sequential(*(Mixer(16, width) for _ in range(layers)))
        self.scores = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scores(self.layers(self.patches(x).flatten(2).transpose(1, 2)).mean(1))


@register_model(
    "mlp-mixer", ((1, 3, 16, 16),), ("skip-connections",), "MLP-Mixer: perceptrons across places and channels"
)
def mlp_mixer() -> nn.Module:
    return MLPMixer(16, 2, 10)


class Hourglass(nn.Module):
    """Down and up again, each size with a way around the smaller ones (Newell et al., 2016)."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.around = nn.Conv2d(channels, channels, 3, padding=1)
        self.down = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())
        inner: nn.Module = Hourglass(channels, depth - 1) if depth > 1 else nn.Conv2d(channels, channels, 1)
        self.up = nn.Sequential(inner, nn.ReLU(), nn.Upsample(scale_factor=2.0, mode="nearest"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.around(x)) + self.up(self.down(x))


@register_model(
    "hourglass",
    ((1, 4, 16, 16),),
    ("skip-connections", "convolutional"),
    "Stacked hourglass: one inside the other, joined at each size",
)
def hourglass() -> nn.Module:
    return nn.Sequential(Hourglass(4, 3), Hourglass(4, 2))
