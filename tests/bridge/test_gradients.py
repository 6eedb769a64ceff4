"""A program that returns gradients is refused when it is lowered, in one sentence."""

from __future__ import annotations

import pytest
import torch
from torch.export.experimental import _export_forward_backward

import bridge
from bridge.errors import BridgeError


class Loss(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x).sum()


def test_a_joint_program_is_refused_when_it_is_lowered() -> None:
    joint = _export_forward_backward(torch.export.export(Loss(), (torch.ones(2, 3),)))
    words = r"returns the gradient of linear\.weight and of 1 more; export the forward alone"
    with pytest.raises(BridgeError, match=words):
        bridge.lower(joint)
