"""Networks that use a weight in several places."""

from __future__ import annotations

from itertools import pairwise

import torch
import transformers as hf
from torch import nn
from torch.nn import functional as F

from tests.models.attention import SMALL, WORDS
from tests.models.model import Leaves, ids
from tests.models.registry import register_model


@register_model(
    "albert", (ids(99, 1, 8),), ("shared-weights", "attention"), "ALBERT: one layer, called again and again"
)
def albert() -> nn.Module:
    return Leaves(hf.AlbertModel(hf.AlbertConfig(**SMALL, **WORDS, embedding_size=16)))


class Siamese(nn.Module):
    """One network looks at two pictures; the distance of its answers (Koch et al., 2015)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.tower = nn.Sequential(
            nn.Conv2d(1, channels, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(channels, channels, 3),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(4 * channels, width),
        )
        self.score = nn.Linear(width, 1)

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        gap = (self.tower(left).sigmoid() - self.tower(right).sigmoid()).abs()
        return self.score(gap).sigmoid()


@register_model(
    "siamese",
    ((2, 1, 14, 14), (2, 1, 14, 14)),
    ("shared-weights", "multi-input-output", "convolutional"),
    "Siamese network: one tower for both pictures",
)
def siamese() -> nn.Module:
    return Siamese(8, 16)


class TiedAutoencoder(nn.Module):
    """The decoder's matrices are the encoder's, transposed."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in pairwise(widths)])
        self.back = nn.ParameterList([nn.Parameter(torch.zeros(width)) for width in widths[:-1]])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        for layer in self.layers:
            x = torch.tanh(layer(x))
        code = x
        for layer, bias in zip(reversed(self.layers), reversed(list(self.back)), strict=True):
            x = torch.tanh(F.linear(x, layer.weight.t(), bias))
        return x, code


@register_model(
    "tied-autoencoder",
    ((3, 24),),
    ("shared-weights", "multi-input-output"),
    "Autoencoder whose decoder is its encoder transposed",
)
def tied_autoencoder() -> nn.Module:
    return TiedAutoencoder(24, 16, 8)


class UniversalTransformer(nn.Module):
    """One layer at every depth, told its depth; a halting unit weighs the answers (Dehghani et al., 2019)."""

    def __init__(self, width: int, steps: int) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(width, 2, 2 * width, batch_first=True, norm_first=True)
        self.depths = nn.Embedding(steps, width)
        self.halt = nn.Linear(width, 1)
        self.steps = steps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left = torch.ones_like(x[..., :1])
        answer = torch.zeros_like(x)
        for step in range(self.steps):
            x = self.layer(x + self.depths.weight[step])
            stop = left if step == self.steps - 1 else left * self.halt(x).sigmoid()
            answer, left = answer + stop * x, left - stop
        return answer


@register_model(
    "universal-transformer",
    ((1, 6, 16),),
    ("shared-weights", "attention"),
    "Universal transformer: one layer at every depth, with halting",
)
def universal_transformer() -> nn.Module:
    return UniversalTransformer(16, 3)


@register_model(
    "t5-small",
    {"input_ids": ids(99, 1, 8), "decoder_input_ids": ids(99, 1, 4)},
    ("shared-weights", "attention", "multi-input-output"),
    "T5: encoder and decoder over one embedding, relative places as biases",
    published={"input_ids": ids(32128, 1, 64), "decoder_input_ids": ids(32128, 1, 16)},
)
def t5(small: bool) -> nn.Module:
    sizes = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2, "vocab_size": 99}
    config = hf.T5Config(**(sizes if small else {}), use_cache=False)
    return Leaves(hf.T5ForConditionalGeneration(config))
