"""A server whose compiler is held: calls go on at all sizes, on what there is, with results of eager."""

from __future__ import annotations

import argparse
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.export import Dim

import bridge
from bridge import segment_compiler
from bridge.background_compiler import background_compiler
from bridge.compile_worker import Reply, Request
from tests.serving import Bound, drawn, serve

THREADS, ROWS, CALLS = 8, range(2, 42), 400
TIERS = {"iree": "dynamic", "xla": "aten"}


class Held:
    """A compiler that answers once it is let go."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.go = threading.Event()

    def compile(self, request: Request) -> Reply | None:
        self.asked.set()
        self.go.wait()
        return background_compiler.compile(request)


@pytest.mark.parametrize("engine", TIERS)
def test_no_call_waits_for_the_compiler(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 4)).eval()
    exported = torch.export.export(
        net, (torch.randn(3, 16),), dynamic_shapes=({0: Dim("rows", min=2, max=64)},)
    )
    compiled = bridge.lower(exported).compile(engine, on_new_size="dynamic")
    assert isinstance(compiled, bridge.Compiled)
    held = Held()
    monkeypatch.setattr(segment_compiler, "background_compiler", held)
    order = [rows for rows in ROWS if rows != 3] * (CALLS // (len(ROWS) - 1))
    random.Random(0).shuffle(order)

    def call(rows: int) -> None:
        x = torch.full((rows, 16), rows / 7)
        torch.testing.assert_close(compiled(x), net(x), rtol=1e-5, atol=1e-6)

    with torch.no_grad(), ThreadPoolExecutor(THREADS) as pool:
        # Nothing is compiled before all of these have come back.
        list(pool.map(call, order))
        assert held.asked.wait(60)
        assert compiled.report.tiers == {"static": 0, "dynamic": 0, "aten": 0} | {TIERS[engine]: len(order)}
        held.go.set()
        while compiled.report.tiers["static"] < THREADS:
            list(pool.map(call, [5] * THREADS))
            time.sleep(0.01)
    assert compiled.report.fallbacks == []


def test_lengths_are_different_and_have_both_ends() -> None:
    order = drawn(20, 64)
    assert sorted(set(order)) == sorted(order)
    assert (min(order), max(order), len(order)) == (2, 64, 20)
    assert drawn(20, 64) == order != sorted(order)


def test_a_bound_holds_up_to_its_most() -> None:
    assert Bound("growth", 3.0, 3.0).holds
    assert not Bound("growth", float("inf"), 3.0).holds


@pytest.mark.conformance
@pytest.mark.parametrize("engine", TIERS)
def test_a_small_server(engine: str) -> None:
    """Results are eager's, hot lengths get executables of their own, and memory is bounded."""
    given = argparse.Namespace(small=True, lengths=24, longest=64, threads=8, hot=2, warm_up=600.0)
    bounds = {bound.name: bound for bound in serve(engine, given)}
    assert bounds["warm-up of the hot lengths"].found < float("inf")
    assert bounds["growth of resident memory"].holds
