"""Mixtures of experts: each token goes to a few of many networks."""

from __future__ import annotations

import torch
import transformers as hf
from torch import nn

from benchmarks.architectures import Experts, mlp
from tests.models.attention import CAUSAL
from tests.models.model import Leaves, Named, ids
from tests.models.registry import register_model

# The auxiliary losses of training are not asked for.
_LOGITS = ("logits",)


@register_model("mixtral", (ids(99, 1, 6),), ("experts", "attention"), "Mixtral: two experts of four a token")
def mixtral() -> nn.Module:
    config = hf.MixtralConfig(**CAUSAL, num_local_experts=4, num_experts_per_tok=2)
    return Named(hf.MixtralForCausalLM(config), *_LOGITS)


@register_model(
    "qwen2-moe",
    (ids(99, 1, 6),),
    ("experts", "attention"),
    "Qwen2-MoE: experts by choice, and one for all",
)
def qwen2_moe() -> nn.Module:
    config = hf.Qwen2MoeConfig(
        **CAUSAL, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16,
        shared_expert_intermediate_size=32, decoder_sparse_step=1,
    )  # fmt: skip
    return Named(hf.Qwen2MoeForCausalLM(config), *_LOGITS)


@register_model(
    "deepseek-v3",
    (ids(99, 1, 6),),
    ("experts", "attention"),
    "DeepSeek-V3: latent attention, experts chosen within groups",
)
def deepseek() -> nn.Module:
    config = hf.DeepseekV3Config(
        vocab_size=99, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
        intermediate_size=64, moe_intermediate_size=16, n_routed_experts=4, num_experts_per_tok=2,
        n_group=2, topk_group=1, first_k_dense_replace=1, q_lora_rank=16, kv_lora_rank=16,
        qk_rope_head_dim=8, qk_nope_head_dim=8, v_head_dim=8, use_cache=False, max_position_embeddings=32,
    )  # fmt: skip
    return Leaves(hf.DeepseekV3ForCausalLM(config))


@register_model("dense-experts", ((1, 6, 16),), ("experts",), "Experts that all see each token")
def dense_experts() -> nn.Module:
    return Experts(16, 32, 4)


class SoftExperts(nn.Module):
    """Experts get mixtures of all tokens, and tokens mixtures of answers (Puigcerver et al., 2024)."""

    def __init__(self, width: int, experts: int, slots: int) -> None:
        super().__init__()
        self.slots = nn.Parameter(torch.randn(width, experts, slots) / width**0.5)
        self.experts = nn.ModuleList([mlp(width, 2 * width) for _ in range(experts)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = torch.einsum("btw,wes->btes", x, self.slots)
        gathered = torch.einsum("btw,btes->besw", x, scores.softmax(1))
        answers = torch.stack([expert(gathered[:, i]) for i, expert in enumerate(self.experts)], 1)
        return torch.einsum("besw,btes->btw", answers, scores.flatten(2).softmax(2).view_as(scores))


@register_model("soft-experts", ((2, 5, 12),), ("experts",), "Soft mixture: experts get mixtures of tokens")
def soft_experts() -> nn.Module:
    return SoftExperts(12, 3, 2)
