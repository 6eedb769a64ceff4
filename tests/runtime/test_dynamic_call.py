"""The binary for all sizes: it serves new sizes at once, what data gives, and sizes that are refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from lowering.ir.dynamic_module import DynamicModule, DynamicPort
from lowering.ir.errors import EngineError, NoCompiler
from lowering.ir.module import Check, CheckKind
from lowering.ir.program import Program, Range
from lowering.ir.symbols import Symbol
from lowering.ir.types import DType
from lowering.targets.target import BuiltDynamic
from runtime.specialisations import OnNewSize
from tests.runtime.fakes import FakeEngine, FakeOrigin, N, compiled, node, plan, program, tensor


def module(symbol: str, high: int | None = None, checks: tuple[Check, ...] = ()) -> DynamicModule:
    n = Symbol(symbol)
    flags = (DynamicPort("checks", DType.BOOL, (len(checks),)),) if checks else ()
    return DynamicModule(
        b"",
        (DynamicPort("x", DType.FLOAT32, (n, 3)),),
        (DynamicPort("y", DType.FLOAT32, (n, 3)), *flags),
        {symbol: Range(1, high)},
        checks=checks,
    )


class Doubling:
    """An engine whose binary for all sizes doubles, and says that it did by a hundred more."""

    def __init__(self, engine: Any, fails: Callable[[Any], bool] | None = None) -> None:
        self.engine, self.fails = engine, fails
        self.name, self.handle = engine.name, engine.handle
        self.calls: list[Mapping[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def load_dynamic(self, binary: bytes, module: DynamicModule, target: Any, weights: Any) -> Doubling:
        return self

    def at(self, sizes: Mapping[str, Any]) -> Callable[[Sequence[Any]], list[Any]]:
        def call(handles: Sequence[Any]) -> list[Any]:
            self.calls.append(sizes)
            flags = [] if self.fails is None else [np.array([self.fails(handles[0])])]
            return [handles[0] * 2 + 100, *flags]

        return call


def doubled(made: DynamicModule, fails: Any = None, way: OnNewSize = OnNewSize.DYNAMIC, **rest: Any) -> Any:
    given = doubling()
    dynamic = Doubling(FakeEngine(given, plan(given)), fails)

    def build(segment: Any) -> BuiltDynamic:
        return BuiltDynamic(made, b"", dynamic)  # pyright: ignore[reportArgumentType]

    f, engine = compiled(given, on_new_size=way, origin=FakeOrigin(build), **rest)
    return f, engine, dynamic


def doubling() -> Program:
    nodes = [node("aten.mul.Scalar", "y", self="%x", other=2)]
    types = {"y": tensor(N, 3)}
    return program({"x": tensor(N, 3)}, nodes, ["%y"], types, ranges={"s0": Range(1, 9)})


def test_a_new_size_runs_on_it_until_its_own_is_compiled() -> None:
    f, _, dynamic = doubled(module("s0"))
    assert f(torch.ones(2, 3)).tolist() == [[102.0] * 3] * 2
    f.prepare({"s0": 2})
    assert f(torch.ones(2, 3)).tolist() == [[2.0] * 3] * 2
    assert dynamic.calls == [{"s0": 2}]
    assert (f.report.tiers["dynamic"], f.report.deferred) == (1, 1)


def test_sizes_that_the_engine_refuses_stay_with_it() -> None:
    f, _, dynamic = doubled(module("s0"), refuse=lambda segment, sizes: sizes["s0"] == 3)
    f.prepare({"s0": 3})
    for _ in range(2):
        np.testing.assert_array_equal(f(np.ones((3, 3), np.float32)), np.full((3, 3), 102))
    assert dynamic.calls == [{"s0": 3}] * 2


def test_sizes_that_it_is_not_for_run_on_the_host() -> None:
    f, _, dynamic = doubled(module("s0", high=4), refuse=lambda segment, sizes: True)
    assert f(torch.ones(5, 3)).tolist() == [[2.0] * 3] * 5
    assert dynamic.calls == []


def test_a_check_that_fails_raises() -> None:
    checks = (Check(CheckKind.INDEX, "out of bounds"),)
    f, _, _ = doubled(module("s0", checks=checks), fails=lambda x: bool(x.max() > 1))
    assert f(torch.ones(2, 3)).tolist() == [[102.0] * 3] * 2
    with pytest.raises(IndexError, match="out of bounds"):
        f(torch.ones(3, 3) * 2)


def test_callers_who_wait_do_without_it() -> None:
    f, _, dynamic = doubled(module("s0"), way=OnNewSize.WAIT)
    assert f(torch.ones(2, 3)).tolist() == [[2.0] * 3] * 2
    assert dynamic.calls == []


def test_why_there_is_none_is_told() -> None:
    def build(segment: Any) -> BuiltDynamic:
        raise EngineError("it has no dynamic sorts")

    f, _ = compiled(doubling(), on_new_size=OnNewSize.DYNAMIC, origin=FakeOrigin(build))
    assert f.report.no_dynamic == {0: "it has no dynamic sorts"}
    assert f(torch.ones(2, 3)).tolist() == [[2.0] * 3] * 2
    assert f.report.json()["no_dynamic"] == {0: "it has no dynamic sorts"}


def test_it_serves_for_good_where_nothing_compiles() -> None:
    asked: list[int] = []

    def refuse(segment: Any, sizes: Mapping[str, Any]) -> bool:
        asked.append(sizes["s0"])
        raise NoCompiler("it needs the package jax")

    f, _, dynamic = doubled(module("s0"), refuse=refuse)
    f.prepare({"s0": 2})
    for rows in (2, 3, 4, 5):
        assert f(torch.ones(rows, 3)).tolist() == [[102.0] * 3] * rows
    assert asked == [2]
    assert len(dynamic.calls) == 4
    assert (f.report.fallbacks, f.report.deferred) == ([], 4)
    assert f.report.json()["no_compiler"] == {0: "it needs the package jax"}
