"""A function as the module that `torch.export` wants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class Call(torch.nn.Module):
    """Calls a function of its inputs."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, *tensors: torch.Tensor) -> Any:
        return self.fn(*tensors)
