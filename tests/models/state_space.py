"""State-space models: linear recurrences, as scans and as convolutions."""

from __future__ import annotations

import torch
import transformers as hf
from torch import nn
from torch.nn import functional as F

from tests.models.model import Named, ids
from tests.models.registry import register_model

_STATES = ("state-space",)


@register_model("mamba", (ids(99, 1, 6),), _STATES, "Mamba: a recurrence that the input steers")
def mamba() -> nn.Module:
    config = hf.MambaConfig(
        vocab_size=99, hidden_size=16, state_size=4, num_hidden_layers=2, time_step_rank=4, use_cache=False
    )
    return Named(hf.MambaForCausalLM(config), "logits")


@register_model("mamba2", (ids(99, 1, 8),), _STATES, "Mamba 2: the recurrence in blocks of matrix products")
def mamba2() -> nn.Module:
    config = hf.Mamba2Config(
        vocab_size=99, hidden_size=16, state_size=8, num_hidden_layers=2, num_heads=4, head_dim=8, n_groups=1,
        chunk_size=4, use_cache=False,
    )  # fmt: skip
    return Named(hf.Mamba2ForCausalLM(config), "logits")


@register_model("rwkv", (ids(99, 1, 6),), (*_STATES, "recurrent"), "RWKV: attention as a recurrence")
def rwkv() -> nn.Module:
    config = hf.RwkvConfig(
        vocab_size=99, hidden_size=16, attention_hidden_size=16, num_hidden_layers=2, intermediate_size=32,
        context_length=16, use_cache=False,
    )  # fmt: skip
    return Named(hf.RwkvForCausalLM(config), "logits")


@register_model(
    "recurrent-gemma",
    (ids(99, 1, 6),),
    (*_STATES, "recurrent", "attention"),
    "RecurrentGemma: gated linear recurrences and local attention in turn",
)
def recurrent_gemma() -> nn.Module:
    config = hf.RecurrentGemmaConfig(
        vocab_size=99, hidden_size=16, lru_width=16, num_hidden_layers=3, num_attention_heads=2,
        num_key_value_heads=1, intermediate_size=48, attention_window_size=8, use_cache=False,
    )  # fmt: skip
    return Named(hf.RecurrentGemmaForCausalLM(config), "logits")


class DiagonalStates(nn.Module):
    """S4D: a diagonal recurrence, run as a long convolution by Fourier transforms (Gu et al., 2022)."""

    def __init__(self, width: int, states: int) -> None:
        super().__init__()
        self.log_step = nn.Parameter(torch.rand(width) - 3)
        self.log_decay = nn.Parameter(torch.full((width, states), 0.5).log())
        self.frequency = nn.Parameter(torch.pi * torch.arange(states).repeat(width, 1).float())
        self.out = nn.Parameter(torch.randn(width, states, 2))
        self.skip = nn.Parameter(torch.randn(width))
        self.mix = nn.Conv1d(width, 2 * width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        length = x.shape[2]
        step = self.log_step.exp().unsqueeze(1)
        poles = torch.complex(-self.log_decay.exp(), self.frequency)
        weights = torch.view_as_complex(self.out) * (torch.exp(poles * step) - 1) / poles
        powers = torch.exp((poles * step).unsqueeze(2) * torch.arange(length))
        kernel = 2 * torch.einsum("wn,wnl->wl", weights, powers).real
        spectrum = torch.fft.rfft(x, n=2 * length) * torch.fft.rfft(kernel, n=2 * length)
        y = torch.fft.irfft(spectrum, n=2 * length)[..., :length] + x * self.skip.unsqueeze(1)
        return F.glu(self.mix(F.gelu(y)), 1)


@register_model("s4d", ((1, 6, 16),), _STATES, "S4D: a diagonal recurrence as a long convolution")
def s4d() -> nn.Module:
    return nn.Sequential(DiagonalStates(6, 4), DiagonalStates(6, 4))


class GatedRetention(nn.Module):
    """RetNet: scores that decay with distance, in its parallel form (Sun et al., 2023)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inputs = nn.Linear(width, 4 * width, bias=False)
        self.norm = nn.GroupNorm(heads, width)
        self.out = nn.Linear(width, width, bias=False)
        self.register_buffer("decay", (1 - 2.0 ** (-5 - torch.arange(heads).float())).log())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v, gate = self.inputs(x).chunk(4, 2)
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (q, k, v))
        places = torch.arange(x.shape[1])
        distance = places.unsqueeze(1) - places
        weight = torch.exp(distance * self.decay.view(-1, 1, 1)).tril()
        mixed = (q @ k.transpose(2, 3) * weight) @ v
        mixed = mixed.transpose(1, 2).flatten(2)
        normed = self.norm(mixed.flatten(0, 1)).view_as(mixed)
        return self.out(F.silu(gate) * normed)


@register_model("retnet", ((1, 7, 16),), (*_STATES, "attention"), "RetNet: retention, in its parallel form")
def retnet() -> nn.Module:
    return nn.Sequential(GatedRetention(16, 2), GatedRetention(16, 2))
