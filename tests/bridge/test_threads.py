"""One `Compiled` called from many threads at once: each call gets its own results."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_map

import bridge

THREADS, CALLS = 8, 200
# 2 and 3 rows are exported and tried; more sizes than a segment keeps would only measure its compiler.
SIZES = (2, 3, 5, 8)


class Mixed(torch.nn.Module):
    """A segment, an operator that runs on ATen, a segment."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(8, 8)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        z = (self.layer(x) * y + x).tanh()
        distance = torch.cdist(z, z, p=1.5)
        return (distance.sin() + 1).sum(0) * 2, z


class Single(torch.nn.Module):
    """One segment, called by the short way."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(8, 8)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (self.layer(x) * y + x).tanh()


class Counting(torch.nn.Module):
    """State: how often it was called, and the sum of all it was given."""

    calls: torch.Tensor
    total: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("total", torch.zeros(8, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls.add_(1)
        self.total += x.sum(0).double()
        return self.calls.clone()


def _in_threads(work: Callable[[int], None]) -> None:
    start = Barrier(THREADS)

    def run(number: int) -> None:
        start.wait()
        work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        for future in [pool.submit(run, number) for number in range(THREADS)]:
            future.result()


def _rows(number: int, call: int, sizes: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs of which no two calls have the same."""
    generator = torch.Generator().manual_seed(1000 * number + call)
    size = (sizes[(number + call) % len(sizes)], 8)
    return torch.randn(size, generator=generator), torch.randn(size, generator=generator)


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("engine", ["xla", "iree", "aten"])
@pytest.mark.parametrize("program", [Single, Mixed])
def test_calls_at_once_have_the_results_of_eager(program: Any, engine: str, dynamic: bool) -> None:
    module = program().eval()
    sizes = SIZES if dynamic else (3,)
    batch = torch.export.Dim("batch", min=2, max=64)
    shapes = {"x": {0: batch}, "y": {0: batch}} if dynamic else None
    lowered = bridge.lower(module, _rows(0, 1, (3,)), dynamic_shapes=shapes)
    compiled = lowered.compile(engine, on_new_size="wait")

    def work(number: int) -> None:
        for call in range(CALLS):
            given = _rows(number, call, sizes)
            with torch.no_grad():
                wanted = module(*given)
            if number % 2:
                found = compiled(*(x.numpy() for x in given))
                found = tree_map(torch.from_numpy, found)
            else:
                found = compiled(*given)
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)

    _in_threads(work)
    report = compiled.report
    assert report.fallbacks == []
    assert report.calls == THREADS * CALLS
    if dynamic and engine != "aten":
        segments = sum(segment.placement.value == "stablehlo" for segment in lowered.plan.segments)
        assert report.misses <= segments * len(SIZES)
        assert report.hits + report.misses >= segments * THREADS * CALLS


@pytest.mark.parametrize("engine", ["xla", "iree", "aten"])
def test_calls_that_change_state_wait_for_each_other(engine: str) -> None:
    compiled = bridge.lower(Counting(), (torch.ones(3, 8),)).compile(engine)
    seen: list[int] = []

    def work(number: int) -> None:
        x = torch.full((3, 8), float(number))
        for _ in range(CALLS):
            seen.append(int(compiled(x)))

    _in_threads(work)
    assert sorted(seen) == list(range(1, THREADS * CALLS + 1))
    total = sum(range(THREADS)) * CALLS * 3
    np.testing.assert_array_equal(compiled.buffers["total"], np.full(8, total, np.float64))
    assert compiled.buffers["calls"] == THREADS * CALLS


@pytest.mark.parametrize("engine", ["xla", "iree"])
def test_more_sizes_than_are_kept(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Executables are evicted while other threads run them."""
    from runtime.executor import Executor

    original = Executor.__init__

    def small(self: Any, *args: Any, **options: Any) -> None:
        original(self, *args, **{**options, "cache_size": 2})

    monkeypatch.setattr(Executor, "__init__", small)
    module = Single().eval()
    batch = torch.export.Dim("batch", min=2, max=64)
    lowered = bridge.lower(module, _rows(0, 1, (3,)), dynamic_shapes={"x": {0: batch}, "y": {0: batch}})
    compiled = lowered.compile(engine, on_new_size="wait")

    def work(number: int) -> None:
        for call in range(CALLS // 8):
            given = _rows(number, call, SIZES)
            with torch.no_grad():
                torch.testing.assert_close(compiled(*given), module(*given), rtol=1e-4, atol=1e-5)

    _in_threads(work)
    assert compiled.report.evictions > 0
