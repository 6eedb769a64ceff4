"""What eager raises for windows that cannot be divided out, a lowered program raises too."""

from __future__ import annotations

import pytest
import torch

import bridge


class Inverse(torch.nn.Module):
    def forward(self, spectrum: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
        return torch.istft(spectrum, 8, window=window)


def test_a_window_that_leaves_gaps_raises() -> None:
    module, spectrum, window = Inverse(), torch.ones(5, 4, dtype=torch.complex64), torch.hann_window(8)
    lowered = bridge.lower(module, (spectrum, window))
    assert set(lowered.placement.values()) == {"stablehlo"}
    compiled = lowered.compile("xla")
    torch.testing.assert_close(compiled(spectrum, window), module(spectrum, window))
    for call in (module, compiled):
        with pytest.raises(RuntimeError, match="window overlap add min: 1"):
            call(spectrum, torch.zeros(8))
