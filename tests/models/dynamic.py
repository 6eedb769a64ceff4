"""Real architectures exported with a dynamic batch, and a dynamic length where they read text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import transformers as hf
from torch.export import Dim

from tests.models.zoo import seeded

VOCABULARY = 99
LENGTH = 16
_SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
_CAUSAL = _SMALL | {"num_key_value_heads": 1, "max_position_embeddings": 32, "use_cache": False}


@dataclass(frozen=True)
class Dynamic:
    """A model and how its inputs are made for a batch and a length. `auto`: torch finds the dims' ranges."""

    build: Callable[[], torch.nn.Module]
    inputs: Callable[[int, int], dict[str, torch.Tensor]]
    auto: bool

    def export(self) -> torch.export.ExportedProgram:
        """Exported at batch 3, length 7."""
        inputs = self.inputs(3, 7)
        batch = Dim.AUTO if self.auto else Dim("batch", min=2, max=8)
        length = Dim.AUTO if self.auto else Dim("length", min=2, max=LENGTH)
        dims = {name: {0: batch} | ({1: length} if x.dim() == 2 else {}) for name, x in inputs.items()}
        wrap = _Pictures if "pixel_values" in inputs else _Masked if "attention_mask" in inputs else _Text
        module = wrap(seeded(self.build))
        with torch.no_grad():
            return torch.export.export(module, (), inputs, dynamic_shapes=dims, strict=False)

    def calls(self) -> Iterator[dict[str, torch.Tensor]]:
        """The smallest sizes, typical ones, and the largest."""
        for batch, length in ((2, 2), (3, 9), (8, LENGTH)):
            yield self.inputs(batch, length)


class _Text(torch.nn.Module):
    """A model as a function of its tensors: `dynamic_shapes` wants their names, and outputs are a tuple."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.model(input_ids=input_ids).to_tuple()


class _Masked(_Text):
    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.model(input_ids=input_ids, attention_mask=attention_mask).to_tuple()


class _Pictures(_Text):
    def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.model(pixel_values=pixel_values).to_tuple()


def text(batch: int, length: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(batch * 100 + length)
    return {"input_ids": torch.randint(0, VOCABULARY, (batch, length), generator=generator)}


def masked(batch: int, length: int) -> dict[str, torch.Tensor]:
    mask = torch.ones(batch, length, dtype=torch.int64)
    mask[0, length - 1 :] = 0
    return text(batch, length) | {"attention_mask": mask}


def pictures(batch: int, length: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(batch)
    return {"pixel_values": torch.randn(batch, 3, 32, 32, generator=generator)}


def _of(model: Any, config: Any, **sizes: Any) -> Callable[[], torch.nn.Module]:
    return lambda: model(config(**sizes))


_WORDS = {"vocab_size": VOCABULARY}

MODELS: dict[str, Dynamic] = {
    "bert": Dynamic(_of(hf.BertModel, hf.BertConfig, **_SMALL, **_WORDS), masked, auto=False),
    "gpt2": Dynamic(
        _of(hf.GPT2LMHeadModel, hf.GPT2Config, n_embd=32, n_layer=2, n_head=2, use_cache=False,
            bos_token_id=1, eos_token_id=2, **_WORDS),
        text, auto=True,
    ),
    "distilbert": Dynamic(
        _of(hf.DistilBertModel, hf.DistilBertConfig, dim=32, n_layers=2, n_heads=2, hidden_dim=64, **_WORDS),
        text, auto=True,
    ),
    "roberta": Dynamic(_of(hf.RobertaModel, hf.RobertaConfig, **_SMALL, **_WORDS), masked, auto=False),
    "electra": Dynamic(
        _of(hf.ElectraModel, hf.ElectraConfig, **_SMALL, embedding_size=16, **_WORDS), text, auto=True
    ),
    "albert": Dynamic(
        _of(hf.AlbertModel, hf.AlbertConfig, **_SMALL, embedding_size=16, **_WORDS), masked, auto=False
    ),
    "opt": Dynamic(
        _of(hf.OPTForCausalLM, hf.OPTConfig, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
            ffn_dim=64, word_embed_proj_dim=32, use_cache=False, **_WORDS),
        masked, auto=False,
    ),
    "llama": Dynamic(_of(hf.LlamaForCausalLM, hf.LlamaConfig, **_CAUSAL, **_WORDS), text, auto=True),
    "qwen2": Dynamic(_of(hf.Qwen2ForCausalLM, hf.Qwen2Config, **_CAUSAL, **_WORDS), text, auto=False),
    "mistral": Dynamic(
        _of(hf.MistralForCausalLM, hf.MistralConfig, **_CAUSAL, **_WORDS), masked, auto=False
    ),
    "t5-encoder": Dynamic(
        _of(hf.T5EncoderModel, hf.T5Config, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2,
            **_WORDS),
        text, auto=True,
    ),
    "vit": Dynamic(
        _of(hf.ViTForImageClassification, hf.ViTConfig, **_SMALL, image_size=32, patch_size=8, num_labels=10),
        pictures, auto=False,
    ),
    "resnet": Dynamic(
        _of(hf.ResNetForImageClassification, hf.ResNetConfig, embedding_size=8, hidden_sizes=[8, 16],
            depths=[1, 2], num_labels=10),
        pictures, auto=True,
    ),
}  # fmt: skip
