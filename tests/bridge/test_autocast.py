"""Programs under `torch.autocast`: wholly StableHLO, with eager's dtypes and values on every engine."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

import bridge


class Mixed(torch.nn.Module):
    """What models do under autocast: products, attention, norms, losses, joins, a region that is off."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.conv = torch.nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect")
        self.norm = torch.nn.BatchNorm2d(8)
        self.layer = torch.nn.LayerNorm(8)
        self.linear = torch.nn.Linear(8, 8)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with torch.autocast("cpu", dtype=self.dtype):
            y = torch.relu(self.norm(self.conv(x))).flatten(2).mT
            q = self.linear(self.layer(y))
            attended = F.scaled_dot_product_attention(q, y, y)
            scores = torch.einsum("bij,bkj->bik", attended, q)
            with torch.autocast("cpu", enabled=False):
                wide = attended.float() @ self.linear.weight
            joined = torch.cat([attended, wide], 1)
            loss = F.cross_entropy(attended[:, 0], labels) + F.mse_loss(attended, wide)
            return scores.softmax(-1), joined, loss, attended.sum(1), F.gelu(q) + x.mean()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_a_region_is_lowered(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    module = Mixed(dtype).eval()
    args = (torch.randn(2, 3, 4, 4), torch.tensor([1, 5]))
    lowered = bridge.lower(module, args)
    assert set(lowered.placement.values()) == {"stablehlo"}
    report = bridge.verify(module, args, engines=("xla", "iree", "aten"))
    assert report.passed, report.markdown()
