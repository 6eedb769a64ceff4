"""Samples of `lowering/stablehlo/ops/attention.py`."""

from __future__ import annotations

import torch

from tests.ops.driver import Sample

torch.manual_seed(7)
INF = float("inf")
TYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
SDPA = "aten.scaled_dot_product_attention.default"
FLASH = "aten._scaled_dot_product_flash_attention_for_cpu.default"


def qkv(
    q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...], dtype: torch.dtype = torch.float32
) -> tuple:
    return tuple(torch.randn(shape).to(dtype) for shape in (q, k, v))


PLAIN = ((2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8))
GROUPED = ((2, 6, 5, 8), (2, 2, 7, 8), (2, 2, 7, 8))
KEEP = torch.rand(5, 7) > 0.3
KEEP[2] = False
ADDED = torch.randn(2, 1, 5, 7).masked_fill(~KEEP, -INF)

SAMPLES = [
    *(Sample(SDPA, qkv(*PLAIN, t)) for t in TYPES),
    *(Sample(SDPA, (*qkv(*PLAIN, t), KEEP), name=f"sdpa-{t}-bool") for t in TYPES),
    *(Sample(SDPA, (*qkv(*PLAIN, t), ADDED.to(t)), name=f"sdpa-{t}-added") for t in TYPES),
    *(Sample(SDPA, (*qkv(*PLAIN, t), None, 0.0, True), name=f"sdpa-{t}-causal") for t in TYPES),
    Sample(SDPA, (*qkv((2, 3, 7, 8), (2, 3, 5, 8), (2, 3, 5, 8)), None, 0.0, True), name="sdpa-causal-long"),
    Sample(SDPA, qkv(*PLAIN), {"scale": 0.3}),
    Sample(SDPA, qkv((2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 4))),
    Sample(SDPA, qkv((3, 5, 8), (3, 7, 8), (3, 7, 8))),
    Sample(SDPA, qkv((5, 8), (7, 8), (7, 8))),
    Sample(SDPA, qkv((2, 3, 5, 8), (1, 3, 7, 8), (1, 3, 7, 8))),
    Sample(SDPA, qkv((2, 3, 5, 8), (2, 3, 0, 8), (2, 3, 0, 8))),
    *(Sample(SDPA, qkv(*GROUPED, t), {"enable_gqa": True}) for t in TYPES),
    Sample(SDPA, (*qkv(*GROUPED), KEEP), {"enable_gqa": True}),
    Sample(SDPA, (*qkv(*GROUPED), torch.rand(2, 6, 5, 7) > 0.3), {"enable_gqa": True}),
    Sample(SDPA, qkv(*GROUPED), {"enable_gqa": True, "is_causal": True}),
    *(Sample(FLASH, qkv((2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8), t)) for t in TYPES),
    Sample(FLASH, qkv(*PLAIN), {"attn_mask": ADDED}),
    Sample(FLASH, qkv(*PLAIN), {"is_causal": True, "scale": 0.5}),
]
