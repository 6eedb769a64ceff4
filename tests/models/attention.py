"""Transformers of many kinds: what they attend to, and how they tell places apart."""

from __future__ import annotations

import torch
import transformers as hf
from torch import nn
from torch.nn import functional as F

from tests.models.model import Leaves, ids
from tests.models.registry import register_model

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
WORDS = {"vocab_size": 99}
CAUSAL = SMALL | WORDS | {"num_key_value_heads": 1, "max_position_embeddings": 32, "use_cache": False}


@register_model(
    "bert-base",
    (ids(99, 1, 8),),
    ("attention",),
    "BERT: an encoder with learned positions and norms after each addition",
    published=(ids(30522, 1, 128),),
)
def bert(small: bool) -> nn.Module:
    return Leaves(hf.BertModel(hf.BertConfig(**(SMALL | WORDS if small else {}))))


@register_model(
    "distilbert",
    (ids(99, 1, 8),),
    ("attention",),
    "DistilBERT: BERT with half of the layers",
    published=(ids(30522, 1, 128),),
)
def distilbert(small: bool) -> nn.Module:
    sizes = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "vocab_size": 99}
    return Leaves(hf.DistilBertModel(hf.DistilBertConfig(**(sizes if small else {}))))


@register_model(
    "gpt2",
    (ids(99, 1, 8),),
    ("attention", "shared-weights"),
    "GPT-2: a causal decoder whose head is its embedding",
    published=(ids(50257, 1, 128),),
)
def gpt2(small: bool) -> nn.Module:
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 99, "bos_token_id": 1, "eos_token_id": 2}
    return Leaves(hf.GPT2LMHeadModel(hf.GPT2Config(**(sizes if small else {}), use_cache=False)))


@register_model(
    "vit-b16",
    ((1, 3, 32, 32),),
    ("attention",),
    "ViT: patches of a picture as tokens",
    published=((1, 3, 224, 224),),
)
def vit(small: bool) -> nn.Module:
    sizes = SMALL | {"image_size": 32, "patch_size": 8, "num_labels": 10}
    config = hf.ViTConfig(**(sizes if small else {"num_labels": 1000}))
    return Leaves(hf.ViTForImageClassification(config))


@register_model(
    "llama",
    (ids(99, 2, 8),),
    ("attention",),
    "Llama: rotary positions, queries in groups, RMS norms, gated linear units",
)
def llama() -> nn.Module:
    return Leaves(hf.LlamaForCausalLM(hf.LlamaConfig(**CAUSAL)))


@register_model(
    "gemma2",
    (ids(99, 1, 12),),
    ("attention", "shared-weights"),
    "Gemma 2: windows that slide in every other layer, and scores with a soft cap",
)
def gemma2() -> nn.Module:
    config = hf.Gemma2Config(**CAUSAL, head_dim=16, sliding_window=4)
    return Leaves(hf.Gemma2ForCausalLM(config))


@register_model("bloom", (ids(99, 1, 8),), ("attention",), "BLOOM: distances as a bias of the scores (ALiBi)")
def bloom() -> nn.Module:
    config = hf.BloomConfig(vocab_size=99, hidden_size=32, n_layer=2, n_head=2, use_cache=False)
    return Leaves(hf.BloomForCausalLM(config))


@register_model(
    "deberta-v2",
    (ids(99, 1, 8),),
    ("attention",),
    "DeBERTa: content and relative places attend to each other",
)
def deberta() -> nn.Module:
    config = hf.DebertaV2Config(
        **SMALL, **WORDS, relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=8
    )
    return Leaves(hf.DebertaV2Model(config))


@register_model(
    "modernbert",
    (ids(99, 1, 12),),
    ("attention",),
    "ModernBERT: local and global layers in turn, rotary positions",
)
def modernbert() -> nn.Module:
    config = hf.ModernBertConfig(
        **SMALL, **WORDS, pad_token_id=0, local_attention=4, global_attn_every_n_layers=2,
        bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2,
    )  # fmt: skip
    return Leaves(hf.ModernBertModel(config))


@register_model(
    "swin",
    ((1, 3, 32, 32),),
    ("attention",),
    "Swin: attention in windows that shift from layer to layer",
)
def swin() -> nn.Module:
    config = hf.SwinConfig(
        image_size=32,
        patch_size=4,
        embed_dim=16,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=4,
        num_labels=10,
    )
    return Leaves(hf.SwinForImageClassification(config))


@register_model(
    "perceiver",
    ((1, 12, 16),),
    ("attention",),
    "Perceiver: a few latents attend to many inputs, again and again",
)
def perceiver() -> nn.Module:
    config = hf.PerceiverConfig(
        d_model=16, d_latents=32, num_latents=4, num_blocks=2, num_self_attends_per_block=1,
        num_self_attention_heads=2, num_cross_attention_heads=2,
    )  # fmt: skip
    return Leaves(hf.PerceiverModel(config))


@register_model(
    "fnet",
    (ids(99, 1, 8),),
    ("attention",),
    "FNet: a Fourier transform in place of attention",
    apart="IREE 3.13 refuses to pack complex numbers, so that the transform of a product is on ATen",
    apart_on=("iree",),
)
def fnet() -> nn.Module:
    config = hf.FNetConfig(
        vocab_size=99,
        hidden_size=32,
        num_hidden_layers=2,
        intermediate_size=64,
        use_tpu_fourier_optimizations=False,
    )
    return Leaves(hf.FNetModel(config))


@register_model(
    "transformer-encoder",
    ((2, 6, 32),),
    ("attention",),
    "The encoder of torch itself, with its fused layers",
)
def transformer_encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    return nn.TransformerEncoder(layer, 2)


class LinearAttention(nn.Module):
    """Keys times values first, so that the cost grows with the length and not with its square."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inputs = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (part.unflatten(2, (self.heads, -1)) for part in self.inputs(x).chunk(3, 2))
        q, k = F.elu(q) + 1, F.elu(k) + 1
        state = torch.einsum("blhd,blhe->bhde", k, v)
        weight = torch.einsum("blhd,bhd->blh", q, k.sum(1))
        mixed = torch.einsum("blhd,bhde->blhe", q, state) / weight.unsqueeze(3)
        return x + self.out(mixed.flatten(2))


@register_model(
    "linear-attention",
    ((2, 10, 16),),
    ("attention",),
    "Attention that is linear in the length, by a feature map",
)
def linear_attention() -> nn.Module:
    return nn.Sequential(LinearAttention(16, 2), nn.LayerNorm(16), LinearAttention(16, 2))
