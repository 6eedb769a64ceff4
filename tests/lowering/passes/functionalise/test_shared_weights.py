"""Writes to weights that go by several names, and to tensors that the module never registered."""

from __future__ import annotations

import pytest
import torch

import bridge
from lowering.ir.plan import Placement


class TwoNames(torch.nn.Module):
    """One tensor under two names: a buffer, and an attribute through which it is written."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros(3))
        self.alias = [self.steps]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.alias[0].add_(x)
        return self.steps * 2


class Unregistered(torch.nn.Module):
    """State in a plain attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.held = [torch.zeros(3)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.held[0].add_(x)
        return self.held[0] + 1


@pytest.mark.parametrize("build", [TwoNames, Unregistered])
@pytest.mark.parametrize("engine", ["xla", "aten"])
def test_state_is_one_whatever_it_is_called(build: type[torch.nn.Module], engine: str) -> None:
    x = torch.tensor([1.0, 2.0, 3.0])
    exported = torch.export.export(build(), (x,))
    compiled = bridge.lower(exported).compile(engine)
    eager = build()
    for _ in range(3):
        torch.testing.assert_close(compiled(x), eager(x))
    for value in compiled.buffers.values():
        torch.testing.assert_close(value, 3 * x)
    if engine == "xla":
        assert compiled.report.nodes(Placement.ATEN) == 0


class Overlapping(torch.nn.Module):
    """Two buffers that share some of their elements."""

    def __init__(self) -> None:
        super().__init__()
        whole = torch.zeros(4)
        self.register_buffer("whole", whole)
        self.register_buffer("part", whole[1:3])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.part.add_(x)
        return self.whole * 2


def test_overlapping_buffers_run_on_aten_as_they_are() -> None:
    x = torch.tensor([1.0, 2.0])
    lowered = bridge.lower(torch.export.export(Overlapping(), (x,)))
    assert "shares its memory with whole" in lowered.not_functional
    compiled = lowered.compile("xla")
    eager = Overlapping()
    for _ in range(2):
        torch.testing.assert_close(compiled(x), eager(x))
    torch.testing.assert_close(torch.as_tensor(compiled.buffers["whole"]), eager.whole)
