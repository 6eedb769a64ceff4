"""Programs that keep something from one call to the next, in buffers."""

from __future__ import annotations

from typing import Any

import torch
import transformers as hf
from torch import nn
from torch.nn import functional as F

from tests.models.model import Model, ids, seeded, tokens
from tests.models.registry import register_model

_STATES = ("stateful",)
_ONE_STEP = {"input_ids": ids(99, 1, 1), "cache_position": ids(1, 1)}


@register_model(
    "llama-decode",
    _ONE_STEP,
    (*_STATES, "attention"),
    "Llama decoding 8 tokens one by one, its cache in buffers",
    published={"input_ids": ids(32000, 1, 1), "cache_position": ids(1, 1)},
)
def llama_decode(small: bool) -> Model:
    sizes = (
        {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
        if small
        else {"hidden_size": 512, "num_hidden_layers": 8, "num_attention_heads": 8, "intermediate_size": 1376}
    )
    config = hf.LlamaConfig(**sizes, num_key_value_heads=2, vocab_size=99 if small else 32000, use_cache=True)
    return _decoder(seeded(lambda: hf.LlamaForCausalLM(config)), 16 if small else 128)


@register_model(
    "qwen3-decode", _ONE_STEP, (*_STATES, "attention"), "Qwen3 decoding 8 tokens: queries and keys with norms"
)
def qwen3_decode() -> Model:
    config = hf.Qwen3Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=16,
        intermediate_size=64, vocab_size=99, use_cache=True,
    )  # fmt: skip
    return _decoder(seeded(lambda: hf.Qwen3ForCausalLM(config)), 16)


def _decoder(model: Any, length: int) -> Model:
    """A static cache of this length, and 8 calls of a token each."""
    from transformers.integrations.executorch import TorchExportableModuleWithStaticCache

    model.generation_config.cache_implementation = "static"
    model.generation_config.cache_config = {"batch_size": 1, "max_cache_len": length}
    model.generation_config.use_cache = True
    step = TorchExportableModuleWithStaticCache(model, batch_size=1, max_cache_len=length)
    words = tokens(model.config.vocab_size, 8)
    calls = tuple(
        ((), {"input_ids": words[:, i : i + 1], "cache_position": torch.tensor([i])}) for i in range(8)
    )
    return Model(step, calls)


class StreamingConvolution(nn.Module):
    """A causal convolution over blocks of sound, which keeps the end of the block before."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(channels, channels, kernel)
        self.register_buffer("kept", torch.zeros(1, channels, kernel - 1))

    def forward(self, block: torch.Tensor) -> torch.Tensor:
        whole = torch.cat([self.kept, block], 2)
        self.kept.copy_(whole[:, :, -self.kept.shape[2] :])
        return torch.tanh(self.convolution(whole))


@register_model(
    "streaming-convolution",
    ((1, 4, 6),),
    (*_STATES, "audio", "convolutional"),
    "Streaming convolution: blocks of a sound one by one",
    calls=3,
)
def streaming_convolution() -> nn.Module:
    return StreamingConvolution(4, 5)


class OnlineNorm(nn.Module):
    """Batch norm that goes on learning its means, and counts its batches."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width)
        self.scores = nn.Linear(width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert self.norm.num_batches_tracked is not None
        self.norm.num_batches_tracked.add_(1)
        y = F.batch_norm(
            x, self.norm.running_mean, self.norm.running_var, self.norm.weight, self.norm.bias, True, 0.1
        )
        return self.scores(y)


@register_model(
    "online-norm", ((6, 5),), _STATES, "Batch norm in training: statistics and a count in buffers", calls=3
)
def online_norm() -> nn.Module:
    return OnlineNorm(5)


class Codebook(nn.Module):
    """A vector quantiser whose words follow the vectors near them (van den Oord et al., 2017)."""

    def __init__(self, words: int, width: int) -> None:
        super().__init__()
        self.register_buffer("words", torch.randn(words, width))
        self.register_buffer("counts", torch.ones(words))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        code = torch.cdist(x, self.words).argmin(1)
        found = F.one_hot(code, self.words.shape[0]).to(x.dtype)
        self.counts.mul_(0.9).add_(found.sum(0), alpha=0.1)
        means = (found.t() @ x) / found.sum(0).clamp(min=1).unsqueeze(1)
        self.words.lerp_(means, 0.1 * (found.sum(0) > 0).unsqueeze(1).to(x.dtype))
        return self.words[code], code


@register_model(
    "codebook",
    ((8, 6),),
    (*_STATES, "multi-input-output"),
    "Vector quantiser that moves its words",
    calls=3,
)
def codebook() -> nn.Module:
    return Codebook(5, 6)


class EpisodicMemory(nn.Module):
    """A ring of keys and values: each call reads by attention, then writes its own at the next place."""

    def __init__(self, places: int, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.register_buffer("keys", torch.randn(places, width))
        self.register_buffer("values", torch.randn(places, width))
        self.register_buffer("at", torch.zeros(1, dtype=torch.int64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        read = (self.query(x) @ self.keys.t()).softmax(1) @ self.values
        self.keys.index_copy_(0, self.at, self.key(x))
        self.values.index_copy_(0, self.at, self.value(x))
        self.at.copy_((self.at + 1) % self.keys.shape[0])
        return x + read


@register_model(
    "episodic-memory",
    ((1, 8),),
    (*_STATES, "attention"),
    "Memory: a ring of keys and values",
    calls=4,
)
def episodic_memory() -> nn.Module:
    return EpisodicMemory(3, 8)
