"""Real architectures exported with dynamic sizes: of batches, texts, pictures and sounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers as hf
from torch import nn
from torch.export import Dim

from tests.models.attention import CAUSAL, SMALL, WORDS
from tests.models.model import ids
from tests.models.registry import Shapes, register_model

LENGTH = 16


class _Text(nn.Module):
    """A model as a function of its tensors: `dynamic_shapes` wants their names, and outputs are a tuple."""

    def __init__(self, model: nn.Module) -> None:
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


def _text(batch: int, length: int) -> Shapes:
    return {"input_ids": ids(WORDS["vocab_size"], batch, length)}


def _masked(batch: int, length: int) -> Shapes:
    mask = torch.ones(batch, length, dtype=torch.int64)
    mask[0, length - 1 :] = 0
    return {**_text(batch, length), "attention_mask": mask}


def _pictures(batch: int, length: int) -> Shapes:
    return {"pixel_values": (batch, 3, 32, 32)}


_WRAPS = {_text: _Text, _masked: _Masked, _pictures: _Pictures}


def _register(
    name: str,
    title: str,
    shapes: Callable[[int, int], Shapes],
    auto: bool,
    model: Any,
    config: Any,
    **sizes: Any,
) -> None:
    """Exported at batch 3, length 7; called at the smallest sizes, typical ones, and the largest.

    `auto`: torch finds the ranges of the sizes.
    """
    batch = Dim.AUTO if auto else Dim("batch", min=2, max=8)
    length = Dim.AUTO if auto else Dim("length", min=2, max=LENGTH)
    axes = {0: batch} if shapes is _pictures else {0: batch, 1: length}
    register_model(
        f"{name}-dynamic",
        shapes(3, 7),
        ("dynamic", "convolutional" if name == "resnet" else "attention"),
        f"{title}, its batch {'' if shapes is _pictures else 'and length '}dynamic",
        further=tuple(shapes(*pair) for pair in ((2, 2), (3, 9), (8, LENGTH))),
        dynamic_shapes=dict.fromkeys(shapes(3, 7), axes),
    )(lambda: _WRAPS[shapes](model(config(**sizes))))


_register("bert", "BERT, masked", _masked, False, hf.BertModel, hf.BertConfig, **SMALL, **WORDS)
_register(
    "gpt2", "GPT-2", _text, True, hf.GPT2LMHeadModel, hf.GPT2Config, n_embd=32, n_layer=2, n_head=2,
    use_cache=False, bos_token_id=1, eos_token_id=2, **WORDS,
)  # fmt: skip
_register(
    "distilbert", "DistilBERT", _text, True, hf.DistilBertModel, hf.DistilBertConfig, dim=32, n_layers=2,
    n_heads=2, hidden_dim=64, **WORDS,
)  # fmt: skip
_register("roberta", "RoBERTa, masked", _masked, False, hf.RobertaModel, hf.RobertaConfig, **SMALL, **WORDS)
_register(
    "electra", "ELECTRA", _text, True, hf.ElectraModel, hf.ElectraConfig, **SMALL, embedding_size=16, **WORDS
)
_register(
    "albert", "ALBERT, masked", _masked, False, hf.AlbertModel, hf.AlbertConfig, **SMALL,
    embedding_size=16, **WORDS,
)  # fmt: skip
_register(
    "opt", "OPT, masked", _masked, False, hf.OPTForCausalLM, hf.OPTConfig, hidden_size=32,
    num_hidden_layers=2, num_attention_heads=2, ffn_dim=64, word_embed_proj_dim=32, use_cache=False, **WORDS,
)  # fmt: skip
_register("llama", "Llama", _text, True, hf.LlamaForCausalLM, hf.LlamaConfig, **CAUSAL)
_register("qwen2", "Qwen2", _text, False, hf.Qwen2ForCausalLM, hf.Qwen2Config, **CAUSAL)
_register("mistral", "Mistral, masked", _masked, False, hf.MistralForCausalLM, hf.MistralConfig, **CAUSAL)
_register(
    "t5-encoder", "T5's encoder", _text, True, hf.T5EncoderModel, hf.T5Config, d_model=32, d_kv=16, d_ff=64,
    num_layers=2, num_heads=2, **WORDS,
)  # fmt: skip
_register(
    "vit", "ViT", _pictures, False, hf.ViTForImageClassification, hf.ViTConfig, **SMALL, image_size=32,
    patch_size=8, num_labels=10,
)  # fmt: skip
_register(
    "resnet", "ResNet", _pictures, True, hf.ResNetForImageClassification, hf.ResNetConfig, embedding_size=8,
    hidden_sizes=[8, 16], depths=[1, 2], num_labels=10,
)  # fmt: skip
