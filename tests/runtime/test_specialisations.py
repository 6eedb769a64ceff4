"""Calls by sizes: compiled once, without a wait of the others, in the foreground or behind it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from lowering.ir.plan import Plan
from lowering.ir.program import Range
from runtime.report import Report
from runtime.specialisations import OnNewSize, Specialisations
from tests.runtime.fakes import N, compiled, node, program, tensor


class Compiler:
    """Compiles sizes; those of `held` only once they are let go."""

    def __init__(self, *held: int) -> None:
        self.begun: list[int] = []
        self.waits = {size: threading.Event() for size in held}
        self.started = {size: threading.Event() for size in held}

    def __call__(self, sizes: Mapping[str, Any]) -> str | None:
        size = int(sizes["s"])
        self.begun.append(size)
        if size in self.waits:
            self.started[size].set()
            self.waits[size].wait()
        return None if size == 13 else f"for {size}"


def made(compiler: Any, way: OnNewSize = OnNewSize.WAIT, capacity: int = 16) -> tuple[Any, Report]:
    report = Report(Plan(()), "fake")
    return Specialisations(compiler, capacity, report, lambda: way is OnNewSize.WAIT), report


def get(found: Any, size: int) -> Any:
    return found.get((size,), {"s": size})


def settled(found: Any) -> None:
    """Once nothing is compiled any more."""
    while found._pending:
        threading.Event().wait(0.001)


def test_a_call_does_not_wait_for_the_compiler_of_another_size() -> None:
    compiler = Compiler(7)
    found, report = made(compiler)
    assert get(found, 3) == "for 3"
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(get, found, 7)
        compiler.started[7].wait()
        assert get(found, 3) == "for 3"
        assert get(found, 4) == "for 4"
        assert not slow.done()
        compiler.waits[7].set()
        assert slow.result() == "for 7"
    assert (report.misses, report.hits) == (3, 1)


def test_sizes_are_compiled_once_however_many_threads_ask() -> None:
    compiler = Compiler(7)
    found, report = made(compiler)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(get, found, 7) for _ in range(8)]
        compiler.started[7].wait()
        compiler.waits[7].set()
        assert {call.result() for call in asked} == {"for 7"}
    assert compiler.begun == [7]
    assert report.misses == 1


def test_what_a_compiler_raises_goes_to_all_and_is_tried_again() -> None:
    problems = [ValueError("a bug"), None]

    def compile(sizes: Mapping[str, Any]) -> str:
        problem = problems.pop(0)
        if problem is not None:
            raise problem
        return "made"

    found, _ = made(compile)
    with pytest.raises(ValueError, match="a bug"):
        get(found, 3)
    assert not found.knows((3,))
    assert get(found, 3) == "made"


def test_in_the_background_a_new_size_is_the_hosts_until_it_is_compiled() -> None:
    compiler = Compiler(7)
    found, report = made(compiler, OnNewSize.ATEN)
    assert get(found, 7) is None
    assert get(found, 7) is None
    compiler.started[7].wait()
    assert found.knows((7,))
    compiler.waits[7].set()
    assert found.prepare((7,), {"s": 7}) == "for 7"
    assert get(found, 7) == "for 7"
    assert compiler.begun == [7]
    assert report.misses == 1
    assert report.deferred == 2


def test_what_an_engine_refuses_is_known() -> None:
    found, _ = made(Compiler())
    assert get(found, 13) is None
    assert found.knows((13,))


def test_the_sizes_that_save_least_go_out() -> None:
    costs = {2: 3.0, 3: 2.0, 4: 1.0}
    compiler = Compiler()
    found, report = made(compiler, capacity=2)
    for size, times in ((2, 1), (3, 2)):
        for _ in range(times):
            get(found, size)
        found._demand.cost((size,), costs[size])
    # 3 saves 2 x 2 seconds, 2 saves 3.
    get(found, 4)
    assert (found.knows((2,)), found.knows((3,)), found.knows((4,))) == (False, True, True)
    assert report.evictions == 1


def test_prepared_sizes_stay_and_take_nobodys_place() -> None:
    found, report = made(Compiler(), capacity=1)
    for size in (2, 3):
        found.prepare((size,), {"s": size})
    for size in (4, 5, 6):
        get(found, size)
    found.prepare((7,), {"s": 7})
    assert [size for size in range(2, 8) if found.knows((size,))] == [2, 3, 6, 7]
    assert report.evictions == 2


def test_in_the_background_only_what_is_worth_more_is_compiled() -> None:
    compiler = Compiler()
    found, report = made(compiler, OnNewSize.ATEN, capacity=1)
    for _ in range(3):
        get(found, 2)
        found.took((2,), 1.0)
        settled(found)
    for _ in range(3):
        get(found, 3)
        found.took((3,), 1.0)
        settled(found)
    assert compiler.begun == [2]
    # The fourth finds three that took as long; the fifth finds four.
    for _ in range(2):
        get(found, 3)
        settled(found)
    assert compiler.begun == [2, 3]
    assert report.evictions == 1


def test_what_is_no_longer_worth_it_leaves_the_queue() -> None:
    compiler = Compiler(7)
    found, _ = made(compiler, OnNewSize.ATEN, capacity=1)
    get(found, 7)
    compiler.started[7].wait()
    # Behind it in the queue, while there still is a place.
    get(found, 8)
    for _ in range(5):
        get(found, 7)
    found.took((7,), 1.0)
    found.took((8,), 1.0)
    compiler.waits[7].set()
    settled(found)
    assert compiler.begun == [7]
    assert found.knows((7,))


def test_sizes_from_the_data_are_compiled_when_they_come_again() -> None:
    compiler = Compiler()
    found = Specialisations(compiler, 4, Report(Plan(()), "fake"), lambda: False, threshold=2)
    for size in (2, 3, 3):
        get(found, size)
    settled(found)
    assert compiler.begun == [3]


def test_what_fails_in_the_background_is_told_and_not_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    tried: list[int] = []

    def compile(sizes: Mapping[str, Any]) -> str:
        tried.append(int(sizes["s"]))
        raise ValueError("a bug")

    found, _ = made(compile, OnNewSize.ATEN)
    for _ in range(3):
        assert get(found, 3) is None
        settled(found)
    assert tried == [3]
    assert "the sizes {'s': 3} are not compiled: ValueError: a bug" in caplog.text


def test_who_waits_for_what_is_in_the_queue_gets_it() -> None:
    """Though it is worth less than others by now."""
    compiler = Compiler(7)
    found, _ = made(compiler, OnNewSize.ATEN, capacity=1)
    get(found, 7)
    compiler.started[7].wait()
    get(found, 8)
    found._demand.note((7,))
    found.took((7,), 1.0)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(found.prepare, (8,), {"s": 8})
        compiler.waits[7].set()
        assert slow.result() == "for 8"


def test_a_program_that_is_gone_compiles_nothing() -> None:
    compiler = Compiler(7)
    blocker, _ = made(compiler, OnNewSize.ATEN)
    get(blocker, 7)
    compiler.started[7].wait()
    found, _ = made(compiler, OnNewSize.ATEN)
    get(found, 8)
    del found
    get(blocker, 9)
    compiler.waits[7].set()
    settled(blocker)
    assert compiler.begun == [7, 9]


def test_a_program_goes_on_while_its_sizes_are_compiled() -> None:
    types = {"y": tensor(N, 3)}
    nodes = [node("aten.mul.Scalar", "y", self="%x", other=2)]
    doubled = program({"x": tensor(N, 3)}, nodes, ["%y"], types, ranges={"s0": Range(1, 9)})
    f, engine = compiled(doubled, on_new_size=OnNewSize.ATEN)
    for n in (2, 3, 2):
        assert f(torch.ones(n, 3)).tolist() == [[2.0] * 3] * n
    f.prepare({"s0": 2})
    f.prepare({"s0": 3})
    calls = engine.calls
    np.testing.assert_array_equal(f(torch.ones(2, 3)), np.full((2, 3), 2))
    assert engine.calls == calls + 1
    assert {sizes["s0"] for sizes in engine.loads} == {2, 3}


def weighed(most: int, way: OnNewSize = OnNewSize.WAIT) -> tuple[Any, Report, Compiler]:
    """Executables that weigh as much as their size, of which the others may hold `most` bytes."""
    report, compiler = Report(Plan(()), "fake"), Compiler()

    def weigh(made: str) -> int:
        return int(made.removeprefix("for "))

    waits = way is OnNewSize.WAIT
    found = Specialisations(compiler, 16, report, lambda: waits, weigh=weigh, most_bytes=most)
    return found, report, compiler


def test_executables_hold_no_more_memory_than_they_may() -> None:
    found, report, _ = weighed(10)
    for size in (4, 5, 6, 1):
        get(found, size)
    assert sum(key[0] for key in found.keys()) <= 10  # noqa: SIM118 - a method of ours
    assert report.evictions == 2
    get(found, 100)
    assert found.keys() == [(100,)], "one stays in any case"
    found.prepare((50,), {"s": 50})
    get(found, 3)
    assert found.keys() == [(50,), (3,)]


def test_in_the_background_one_more_must_be_worth_the_memory() -> None:
    found, report, compiler = weighed(10, OnNewSize.ATEN)
    for size in (6, 5):
        get(found, size)
        settled(found)
    assert compiler.begun == [6]
    for _ in range(3):
        get(found, 5)
        found.took((5,), 1.0)
    settled(found)
    assert (found.keys(), report.evictions) == ([(5,)], 1)
