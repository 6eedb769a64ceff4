"""The dtypes in which oneDNN, in the installed torch, computes on this processor."""

from __future__ import annotations

import torch


def takes(dtype: torch.dtype) -> bool:
    """Whether oneDNN has layers of this type; `ONEDNN_MAX_CPU_ISA` hides the AVX-512 that bfloat16 takes."""
    if dtype is torch.bfloat16:
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return dtype is torch.float32
