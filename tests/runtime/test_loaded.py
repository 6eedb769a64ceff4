"""A program over other weights: the segments that are loaded anew, and those that stay."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from bridge.compiled.compiled import Compiled
from bridge.compiled.hooks import StepEvent
from lowering.ir.plan import Placement
from lowering.ir.program import Range
from lowering.ir.weights import Weights
from runtime.bound_weights import BoundWeights
from tests.runtime.fakes import FakeEngine, FakeOrigin, N, compiled, node, program, tensor, weights

HLO, ATEN = Placement.STABLEHLO, Placement.ATEN
T3 = tensor(3)
ONE, TEN = np.ones(3, np.float32), np.full(3, 10, np.float32)


class Setting(FakeOrigin):
    """Takes arrays by name as the values of weights."""

    def __init__(self, own: Weights) -> None:
        super().__init__()
        self.own = own

    def read_weights(self, source: Any, cast: bool) -> Weights:
        new = weights(**source)
        storages = {**self.own.storages, **{f"new/{key}": s for key, s in new.storages.items()}}
        views = {name: replace(view, storage=f"new/{view.storage}") for name, view in new.views.items()}
        return Weights(storages, {**self.own.views, **views})

    def keep_weights(self, given: Weights) -> None:
        self.own = given


def two_layers(*placements: tuple[Placement, list[str]]) -> tuple[Compiled, FakeEngine]:
    """(x + a) + b, a segment each."""
    nodes = [
        node("aten.add.Tensor", "m", self="%x", other="%b_a"),
        node("aten.add.Tensor", "y", self="%m", other="%b_b"),
    ]
    made = program({"x": T3}, nodes, ["%y"], {"m": T3, "y": T3}, buffers={"a": T3, "b": T3})
    own = weights(a=ONE, b=ONE)
    return compiled(made, *placements, weights=own, origin=Setting(own))


def test_a_segment_that_reads_none_of_the_changed_ones_stays() -> None:
    f, engine = two_layers((HLO, ["m"]), (HLO, ["y"]))
    first, second = f.executor.loaded.steps
    f.set_weights({"b": TEN})
    assert f.executor.loaded.steps[0] is first
    assert f.executor.loaded.steps[1] is not second
    assert [sorted(given) for given in engine.bound] == [["a"], ["b"], ["b"]]
    assert f(torch.zeros(3)).tolist() == [11.0] * 3
    assert first.weights is f.executor.loaded.weights


def test_the_host_s_segments_too() -> None:
    f, _ = two_layers((HLO, ["m"]), (ATEN, ["y"]))
    (kept,) = f.executor.loaded.on_host
    f.set_weights({"a": TEN})
    assert f.executor.loaded.on_host == [kept]
    assert f(torch.zeros(3)).tolist() == [11.0] * 3
    f.set_weights({"b": TEN})
    assert f.executor.loaded.on_host != [kept]
    assert f(torch.zeros(3)).tolist() == [20.0] * 3


def test_what_nothing_uses_goes_at_once() -> None:
    f, _ = two_layers((HLO, ["m"]), (ATEN, ["y"]))
    f(torch.zeros(3))
    old = [
        weakref.ref(item) for item in (f.executor.loaded, f.executor.loaded.weights, *f.executor.loaded.steps)
    ]
    gc.disable()
    try:
        f.set_weights({"a": TEN, "b": TEN})
        assert [ref() for ref in old] == [None] * 4
    finally:
        gc.enable()


def sized() -> tuple[Compiled, FakeEngine]:
    nodes = [node("aten.add.Tensor", "y", self="%x", other="%b_a")]
    one = tensor(1)
    made = program(
        {"x": tensor(N)}, nodes, ["%y"], {"y": tensor(N)}, buffers={"a": one}, ranges={"s0": Range(2, 9)}
    )
    own = weights(a=ONE[:1])
    return compiled(made, weights=own, origin=Setting(own))


def test_all_sizes_are_loaded_again() -> None:
    f, engine = sized()
    f.prepare({"x.0": 3})
    for size in (3, 4, 4):
        assert f(torch.zeros(size)).tolist() == [1.0] * size
    assert len(engine.loads) == 2
    f.set_weights({"a": TEN[:1]})
    assert engine.loads[2:] == [{"s0": 3}, {"s0": 4}]
    misses = f.report.misses
    for size in (3, 4):
        assert f(torch.zeros(size)).tolist() == [10.0] * size
    assert f.report.misses == misses
    assert f.executor.loaded.steps[0].compiled == [{"s0": 3}, {"s0": 4}]


def test_sizes_that_the_engine_refused_are_not_tried_again() -> None:
    f, engine = sized()
    engine.refuse = lambda segment, sizes: sizes["s0"] == 3
    assert f(torch.zeros(3)).tolist() == [1.0] * 3
    engine.refuse = None
    f.set_weights({"a": TEN[:1]})
    assert f(torch.zeros(3)).tolist() == [10.0] * 3
    assert engine.loads == []
    assert len(f.report.fallbacks) == 1


def test_the_short_way_is_of_the_weights_that_are_there() -> None:
    f, _ = sized()
    for size in (4, 4):
        f(torch.zeros(size))
    old = f.executor.loaded
    assert old.fast is not None
    f.set_weights({"a": TEN[:1]})
    assert old.fast((torch.zeros(4),)).tolist() == [1.0] * 4
    # A call that began before finds its short way later.
    old.learn((torch.zeros(4),), {"s0": 4})
    assert f(torch.zeros(4)).tolist() == [10.0] * 4
    assert f(torch.zeros(4)).tolist() == [10.0] * 4


def test_hooks_see_the_steps_after_it() -> None:
    f, _ = two_layers()
    assert f.executor.loaded.fast is not None
    seen: list[StepEvent] = []
    with f.on_step(seen.append):
        f.set_weights({"a": TEN})
        assert f.executor.loaded.fast is None
        assert f(torch.zeros(3)).tolist() == [11.0] * 3
    assert len(seen) == 1
    assert f.executor.loaded.fast is not None
    assert f(torch.zeros(3)).tolist() == [11.0] * 3
    assert len(seen) == 1


def test_a_result_that_is_a_weight_is_the_new_one() -> None:
    made = program({}, [], ["%b_a"], buffers={"a": T3})
    own = weights(a=ONE)
    f, _ = compiled(made, weights=own, origin=Setting(own))
    f.set_weights({"a": TEN})
    assert np.asarray(f()).tolist() == [10.0] * 3


def test_weights_are_changed_by_name() -> None:
    f, _ = two_layers()
    (step,) = f.executor.loaded.steps
    assert step.reads({"a"})
    assert not step.reads({"c"})
    again = BoundWeights(f.executor.loaded.weights.weights, f.executor.loaded.weights)
    assert f.executor.loaded.with_weights(again).steps == (step,)
