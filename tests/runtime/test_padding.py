"""Calls on the executable of a larger size: which size, the padding of arguments, the cut of results."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch

from lowering.ir.batch_axes import BatchAxes, RowAxis
from lowering.ir.dynamic_module import DynamicModule, DynamicPort, SizeGuard
from lowering.ir.program import Program, Range
from lowering.ir.symbols import Apply, Symbol
from lowering.ir.types import DType
from runtime.padding import MAX_CALLS, Grown, PaddedSymbol, SegmentPadding, fill
from runtime.specialisations import OnNewSize
from tests.runtime.fakes import FakeOrigin, N, compiled, node, program, tensor

RANGES = {"s0": Range(0, 99)}
ROWS = BatchAxes({"x": (0,)}, {"y": (RowAxis(0),)})
AXES = {"s0": PaddedSymbol((4, 8), ROWS, {})}


def padding(symbols: Any = AXES, guards: tuple[SizeGuard, ...] = (), high: int = 50) -> SegmentPadding:
    ports = (DynamicPort("x", DType.FLOAT32, (N, 3)),), (DynamicPort("y", DType.FLOAT32, (N, 3)),)
    return SegmentPadding(symbols, DynamicModule(b"", *ports, {"s0": Range(1, high)}, guards))


def doubling(high: int = 99) -> Program:
    nodes = [node("aten.mul.Scalar", "y", self="%x", other=2)]
    return program({"x": tensor(N, 3)}, nodes, ["%y"], {"y": tensor(N, 3)}, ranges={"s0": Range(0, high)})


def reversing() -> Program:
    """A program that mixes rows, and so shows what its arguments are padded with."""
    nodes = [node("aten.flip.default", "y", self="%x", dims=(0,))]
    return program({"x": tensor(N, 3)}, nodes, ["%y"], {"y": tensor(N, 3)}, ranges=RANGES)


@pytest.mark.parametrize("convert", [torch.as_tensor, np.asarray])
def test_a_call_runs_at_the_next_size_and_its_results_are_cut(convert: Any) -> None:
    f, engine = compiled(doubling(), padding={0: padding()})
    for n in (1, 3, 4, 5, 8, 7, 3):
        x = np.arange(3 * n, dtype=np.float32).reshape(n, 3)
        got = f(convert(x))
        assert type(got) is type(convert(x))
        np.testing.assert_array_equal(np.asarray(got), 2 * x)
    assert engine.loads == [{"s0": 4}, {"s0": 8}]
    assert (f.report.hits, f.report.misses, f.report.padded) == (5, 2, 5)
    assert f.report.tiers == {"static": 7, "dynamic": 0, "aten": 0}
    assert f.report.json()["padding"] == {"0": {"s0": [4, 8]}}


@pytest.mark.parametrize("rows", [0, 9, 60])
def test_other_sizes_run_at_their_own(rows: int) -> None:
    """An empty tensor, one larger than all buckets, and one that the module for all sizes does not admit."""
    symbols = {"s0": PaddedSymbol((4, 8, 70) if rows == 60 else (4, 8), ROWS, {})}
    f, engine = compiled(doubling(), padding={0: padding(symbols)})
    assert f(np.ones((rows, 3), np.float32)).shape == (rows, 3)
    assert engine.loads == [{"s0": rows}]
    assert f.report.padded == 0


def test_a_size_for_which_a_guard_does_not_hold_is_not_padded_to() -> None:
    guard = SizeGuard(Apply("StrictLessThan", (Symbol("s0"), 8)), "ops/x.py:1")
    f, engine = compiled(doubling(), padding={0: padding(guards=(guard,))})
    for n in (3, 5):
        f(np.ones((n, 3), np.float32))
    assert engine.loads == [{"s0": 4}, {"s0": 5}]


def test_an_executable_of_the_very_size_comes_first() -> None:
    f, engine = compiled(doubling(), padding={0: padding()})
    f(np.ones((3, 3), np.float32))
    f.prepare({"s0": 3})
    f(np.ones((3, 3), np.float32))
    assert engine.loads == [{"s0": 4}, {"s0": 3}]
    assert f.report.padded == 1


@pytest.mark.parametrize(("fill", "first"), [({}, [2.0]), ({"x": 7}, [7.0])])
def test_padding_is_the_last_row_or_what_is_given(fill: Any, first: list[float]) -> None:
    symbols = {"s0": PaddedSymbol((4,), ROWS, fill)}
    f, _ = compiled(reversing(), padding={0: padding(symbols)})
    x = np.array([[0], [1], [2]], np.float32) * np.ones((1, 3), np.float32)
    assert f(x)[:, 0].tolist() == [*first, 2, 1]


def test_rows_of_several_elements_and_of_an_inner_axis_are_cut() -> None:
    twice = Apply("Mul", (2, N))
    types = {"y": tensor(2, N), "z": tensor(twice)}
    nodes = [node("aten.t.default", "y", self="%x"), node("aten.flatten.using_ints", "z", self="%x")]
    p = program({"x": tensor(N, 2)}, nodes, ["%y", "%z"], types, ranges=RANGES)
    axes = BatchAxes({"x": (0,)}, {"y": (RowAxis(1),), "z": (RowAxis(0, 2),)})
    f, engine = compiled(p, padding={0: padding({"s0": PaddedSymbol((8,), axes, {})})})
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    y, z = f(x)
    np.testing.assert_array_equal(y, x.T)
    np.testing.assert_array_equal(z, x.reshape(-1))
    assert engine.loads == [{"s0": 8}]


def test_two_symbols_are_padded_together() -> None:
    m = Symbol("s1")
    nodes = [node("aten.mul.Scalar", "y", self="%x", other=2)]
    ranges = {"s0": Range(1, 99), "s1": Range(1, 99)}
    p = program({"x": tensor(N, m)}, nodes, ["%y"], {"y": tensor(N, m)}, ranges=ranges)
    inner = BatchAxes({"x": (1,)}, {"y": (RowAxis(1),)})
    symbols = {"s0": PaddedSymbol((4,), ROWS, {}), "s1": PaddedSymbol((6, 8), inner, {})}
    ports = (DynamicPort("x", DType.FLOAT32, (N, m)),), (DynamicPort("y", DType.FLOAT32, (N, m)),)
    f, engine = compiled(p, padding={0: SegmentPadding(symbols, DynamicModule(b"", *ports, ranges))})
    for shape in ((3, 5), (4, 7), (9, 2)):
        x = np.random.default_rng(0).random(shape, np.float32)
        np.testing.assert_array_equal(f(x), 2 * x)
    assert engine.loads == [{"s0": 4, "s1": 6}, {"s0": 4, "s1": 8}, {"s0": 9, "s1": 6}]


def test_a_bucket_that_the_engine_refuses_runs_on_the_host_at_the_call_s_size() -> None:
    f, engine = compiled(doubling(), padding={0: padding()}, refuse=lambda segment, sizes: sizes["s0"] == 8)
    for _ in range(2):
        assert f(np.ones((5, 3), np.float32)).tolist() == [[2.0] * 3] * 5
    assert [fallback.sizes for fallback in f.report.fallbacks] == [{"s0": 8}]
    assert engine.calls == 0
    assert f.report.tiers == {"static": 0, "dynamic": 0, "aten": 2}


def test_sizes_of_one_bucket_have_one_compilation_in_the_background() -> None:
    f, engine = compiled(doubling(), padding={0: padding()}, on_new_size=OnNewSize.ATEN, origin=FakeOrigin())
    for n in (5, 6, 7, 8):
        assert f(torch.ones(n, 3)).shape == (n, 3)
        while f.executor.loaded.steps[0].compiled != [{"s0": 8}]:
            threading.Event().wait(0.001)
    assert all(sizes == {"s0": 8} for sizes in engine.loads)
    assert (f.report.misses, f.report.deferred) == (1, 1)
    assert f.report.tiers == {"static": 3, "dynamic": 0, "aten": 1}
    assert f.report.padded == 2


def test_two_hundred_sizes_take_eight_executables() -> None:
    sizes = (1, 2, 4, 8, 16, 32, 64, 200)
    f, engine = compiled(doubling(200), padding={0: padding({"s0": PaddedSymbol(sizes, ROWS, {})}, high=200)})
    for n in range(1, 201):
        x = np.full((n, 3), n, np.float32)
        np.testing.assert_array_equal(f(x), 2 * x)
    assert [loaded["s0"] for loaded in engine.loads] == list(sizes)


def test_no_more_calls_are_kept_of_an_executable_than_a_bound() -> None:
    f, _ = compiled(doubling(1000), padding={0: padding({"s0": PaddedSymbol((1000,), ROWS, {})}, high=1000)})
    for n in range(1, MAX_CALLS + 10):
        assert f(np.ones((n, 3), np.float32)).shape == (n, 3)
    inner = f.executor.loaded.steps[0].peek({"s0": 1000})
    assert inner is not None
    assert 0 < len(inner.smaller) <= MAX_CALLS


def test_a_profile_and_hooks_see_the_sizes_of_the_call() -> None:
    f, _ = compiled(doubling(), padding={0: padding()})
    seen: list[Any] = []
    with f.on_step(lambda event: seen.append(event.outputs["y"].shape)):
        f(np.ones((3, 3), np.float32))
    profile = f.profile(np.ones((3, 3), np.float32))
    assert seen == [(3, 3)]
    assert [span.kind for span in profile.spans].count("execute") == 1


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_axes_grow_by_their_last_elements_or_by_one_given(kind: Any) -> None:
    value, made = kind(np.arange(6).reshape(2, 3)), kind(np.full((4, 5), -1))
    fill(made, value, [Grown(0, 4, None), Grown(1, 5, 9)])
    assert made.tolist() == [[0, 1, 2, 9, 9], *[[3, 4, 5, 9, 9]] * 3]


def test_the_memory_of_arguments_is_of_one_call_at_a_time() -> None:
    f, _ = compiled(doubling(), padding={0: padding()})
    for n in (3, 2, 4, 1):
        x = np.full((n, 3), n, np.float32)
        first = f(x)
        np.testing.assert_array_equal(f(np.zeros((n, 3), np.float32)), np.zeros((n, 3)))
        np.testing.assert_array_equal(first, 2 * x)
    inner = f.executor.loaded.steps[0].peek({"s0": 4})
    assert inner is not None
    assert len(inner.spare) == 1
