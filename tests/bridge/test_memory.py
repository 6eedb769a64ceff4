"""The memory of a call: engines tell of compiled segments, the IR of the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import bridge
from bridge import segment_compiler
from bridge.errors import UsageError
from bridge.memory import known_memory, memory_of
from lowering.ir.plan import Placement
from lowering.targets.target import TargetOptions
from tests.bridge.command_line import ok, refused
from tests.bridge.engines import TestEngine


class Chain(torch.nn.Module):
    """A segment, a node that draws numbers and so runs on ATen, a segment."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(8, 8)
        self.register_buffer("seen", torch.zeros(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.linear(x).tanh()
        self.seen.add_(y.sum(0))  # pyright: ignore[reportCallIssue]
        return (y + torch.rand_like(y)).exp().sin()


X = torch.ones(4, 8)
VALUE = X.numel() * 4


class Telling(TestEngine):
    told: int | None = 1000

    def temporary(self, binary: bytes, target: TargetOptions) -> int | None:
        assert binary == b"compiled"
        return self.told


@pytest.fixture
def lowered() -> bridge.Lowered:
    return bridge.lower(Chain(), (X,))


@pytest.fixture
def engine(lowered: bridge.Lowered, monkeypatch: pytest.MonkeyPatch) -> Telling:
    fake = Telling(lowered)
    monkeypatch.setattr(segment_compiler, "get_engine", lambda name: fake)
    return fake


def test_the_bound_of_the_ir_compiles_nothing(lowered: bridge.Lowered) -> None:
    found = lowered.memory()
    assert (found.engine, found.is_exact) == ("", False)
    assert (found.arguments, found.results) == (VALUE, VALUE + 32)
    assert found.weights == (8 * 8 + 8 + 8) * 4
    # Two operands and their sum.
    assert found.temporary == 3 * VALUE
    assert lowered.binaries == {}
    assert memory_of(lowered, "aten").temporary == found.temporary


def test_an_engine_tells_of_its_segments(lowered: bridge.Lowered, engine: Telling) -> None:
    places = [segment.placement for segment in lowered.plan.segments]
    assert places.count(Placement.ATEN) == 1
    found = memory_of(lowered, "iree")
    assert found.temporary >= 1000 + VALUE
    assert not found.is_exact
    assert found.untold == ()
    assert engine.loaded == []


def test_the_ir_stands_in_for_an_engine_that_does_not_tell(lowered: bridge.Lowered, engine: Telling) -> None:
    engine.told = None
    found = memory_of(lowered, "iree")
    assert len(found.untold) == len(lowered.plan.segments) - 1
    assert found.temporary == memory_of(lowered).temporary


def test_binaries_that_are_at_hand_are_asked_and_nothing_is_compiled(
    lowered: bridge.Lowered, engine: Telling
) -> None:
    assert known_memory(lowered) == []
    lowered.compile("iree")
    count = len(engine.compiled)
    (found,) = known_memory(lowered)
    assert found == memory_of(lowered, "iree")
    # A part of the binaries says nothing of the whole.
    lowered.binaries.popitem()
    assert known_memory(lowered) == []
    assert len(engine.compiled) == count


def test_symbols_have_the_sizes_of_the_example() -> None:
    shapes = ({0: torch.export.Dim("n", max=64)},)
    found = bridge.lower(Chain(), (X,), dynamic_shapes=shapes).memory()
    assert list(found.sizes.values()) == [4]
    assert found.arguments == VALUE


def test_engines_that_there_are_not(lowered: bridge.Lowered) -> None:
    with pytest.raises(UsageError, match="the engine 'xls' does not exist"):
        lowered.memory("xls")
    with pytest.raises(UsageError, match="nothing was measured for auto yet"):
        lowered.memory("auto")


def test_the_command_line(lowered: bridge.Lowered, tmp_path: Path) -> None:
    path = lowered.save(tmp_path / "a.bridge")
    out = ok("info", path, "--engine", "aten")
    assert (
        "a call takes arguments of 128 B, results of 160 B, weights of 320 B; and in between at most\n"
        "  384 B: a bound of the IR: its nodes one by one, no engine's own copies\n"
        "  384 B on aten: live tensors, no operator's own work space\n"
    ) in out
    rows = json.loads(ok("info", path, "--json"))["memory"]
    assert [(row["engine"], row["temporary"], row["is_exact"]) for row in rows] == [("", 384, False)]
    refused("does not exist", "info", path, "--engine", "xls")


class Products(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(128, 128)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.linear(x).exp())


@pytest.mark.parametrize("engine", ["iree", "xla"])
def test_engines_tell_exactly(engine: str) -> None:
    """A product has to be in memory between the two, and engines say so."""
    lowered = bridge.lower(Products(), (torch.ones(128, 128),))
    found = lowered.memory(engine)
    assert found.is_exact
    assert found.temporary >= 128 * 128 * 4
    assert known_memory(lowered) == [found]
