"""Calls, and programs that are dropped, leave no memory behind. The long form is `python -m tests.growth`."""

from __future__ import annotations

import gc
import weakref
from typing import cast

import pytest

from bridge.binaries import Binaries, Site
from lowering.ir.errors import EngineError
from lowering.ir.module import Module
from lowering.targets.target import Engine, TargetOptions
from runtime.report import MAX_FALLBACKS, Fallback, Report
from tests.bridge.engines import TestEngine
from tests.growth import CALLERS, ENGINES, grown, lowered, of_calls, of_loads

# In bytes, over all calls of a test: less than a kilobyte a call.
MOST = 1 << 20


def test_what_is_left_behind_is_found() -> None:
    kept: list[bytes] = []
    assert grown(lambda: kept.append(bytes(2000)), 2000, 100).bytes > MOST
    assert grown(lambda: bytes(2000), 2000, 100).bytes < MOST


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("shape", ["static", "state"])
@pytest.mark.parametrize("engine", ENGINES)
def test_calls_leave_nothing(engine: str, shape: str, caller: str) -> None:
    # Other tests' threads may still be giving back theirs: a leak shows both times.
    assert any(of_calls(engine, caller, shape, 1500).bytes < MOST for _ in range(2))


@pytest.mark.parametrize("engine", ENGINES)
def test_programs_that_are_dropped_leave_nothing(engine: str) -> None:
    assert any(of_loads(engine, "torch", "static", 20).bytes < MOST for _ in range(2))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_program_goes_with_its_last_reference(engine: str) -> None:
    compiled = lowered("state").compile(engine)
    gone = weakref.ref(compiled)
    del compiled
    gc.collect()
    assert gone() is None


class Mark:
    """Something of a caller's."""


def test_a_refusal_keeps_nothing_of_who_asked() -> None:
    program = lowered("static")
    engine = TestEngine(program)
    engine.at_compile = lambda nodes: ("too hard", "a node")
    binaries, module = Binaries({}), program.module(program.plan.segments[0].index)

    def ask(module: Module) -> tuple[weakref.ref[Mark], EngineError]:
        mine = Mark()
        with pytest.raises(EngineError, match="too hard") as raised:
            binaries.of(module, Site(cast(Engine, engine), TargetOptions()), own=False)
        return weakref.ref(mine), EngineError(str(raised.value), raised.value.node)

    for _ in range(2):
        gone, error = ask(module)
        gc.collect()
        assert gone() is None
        assert error.node == "a node"
    assert len(engine.compiled) == 1


def test_fallbacks_are_noted_once_and_not_without_end() -> None:
    report = Report(lowered("static").plan, "iree")
    for size in (*range(2 * MAX_FALLBACKS), *range(10)):
        report.fall_back(Fallback(0, {"s0": size}, "too large"))
    assert [fallback.sizes["s0"] for fallback in report.fallbacks] == list(range(MAX_FALLBACKS))
