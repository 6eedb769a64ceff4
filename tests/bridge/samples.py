"""Programs of tests/data, lowered once, and small modules."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch

import bridge
from tests.pt2_samples import SAMPLES

NEWEST = "torch-2.13.0"
NAMES = sorted(sample.name for sample in SAMPLES if sample.path.parent.name == NEWEST)


def path_of(name: str) -> Path:
    """A file of tests/data, as the newest torch wrote it."""
    return next(s.path for s in SAMPLES if s.name == name and s.path.parent.name == NEWEST)


@cache
def lowered(name: str) -> bridge.Lowered:
    """The same, lowered; not to be changed."""
    return bridge.lower(path_of(name))


class Counter(torch.nn.Module):
    """Adds its input to a buffer, and to the input in place."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(3))
        self.weight = torch.nn.Parameter(torch.ones(3))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        self.total.add_(x)
        x.mul_(2)
        return {"sum": self.total * self.weight, "twice": x + 0}
