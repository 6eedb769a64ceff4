"""A step: specialisation to the sizes of a call or of its data, the cache of them, the way to the host."""

import numpy as np
import pytest
import torch

from lowering.ir.plan import Placement
from lowering.ir.program import Range
from lowering.ir.symbols import Apply, Symbol
from lowering.ir.types import DType, SymKind, SymType
from runtime.inputs import InputError
from runtime.specialisations import OnNewSize
from tests.runtime.fakes import FakeOrigin, N, compiled, node, program, tensor

HLO, ATEN = Placement.STABLEHLO, Placement.ATEN
T3 = tensor(3)


def doubled():
    types = {"y": tensor(N, 3)}
    nodes = [node("aten.mul.Scalar", "y", self="%x", other=2)]
    return program({"x": tensor(N, 3)}, nodes, ["%y"], types, ranges={"s0": Range(1, 9)})


def test_sizes_are_specialised_from_a_bounded_cache():
    f, engine = compiled(doubled(), cache_size=2)
    for n in (2, 3, 2, 4, 3):
        np.testing.assert_array_equal(f(np.ones((n, 3), np.float32)), np.full((n, 3), 2))
    assert engine.loads == [{"s0": 2}, {"s0": 3}, {"s0": 4}, {"s0": 3}]
    assert (f.report.hits, f.report.misses, f.report.evictions) == (1, 4, 2)
    with pytest.raises(InputError, match="dim 0 of `x` is 10, the program allows 1 to 9"):
        f(np.ones((10, 3), np.float32))
    with pytest.raises(InputError, match="`x` is float64, the program takes float32"):
        f(np.ones((3, 3)))
    assert f(torch.ones(3, 3)).tolist() == [[2.0] * 3] * 3


def test_a_size_that_the_engine_refuses_runs_on_aten_and_is_counted():
    f, engine = compiled(doubled(), refuse=lambda segment, sizes: sizes["s0"] == 3)
    for n in (2, 3, 3):
        np.testing.assert_array_equal(f(np.ones((n, 3), np.float32)), np.full((n, 3), 2))
    (fallback,) = f.report.fallbacks
    assert (fallback.segment, fallback.sizes, fallback.reason) == (
        0,
        {"s0": 3},
        "the engine refuses this segment",
    )
    assert engine.calls == 1


def test_data_dependent_sizes_reach_the_next_segment():
    u0 = Symbol("u0")
    nodes = [
        node("aten.nonzero.default", "found", self="%x"),
        node("aten.mul.Scalar", "y", self="%found", other=3),
    ]
    types = {"found": tensor(u0, 1, dtype=DType.INT64), "y": tensor(u0, 1, dtype=DType.INT64)}
    p = program({"x": T3}, nodes, ["%y"], types)
    f, engine = compiled(p, (ATEN, ["found"]), (HLO, ["y"]))
    for _ in range(3):
        assert f(torch.tensor([0.0, 1, 2])).tolist() == [[3], [6]]
    assert f(torch.zeros(3)).shape == (0, 1)
    # A size is compiled for when it comes again; until then the segment runs on ATen.
    assert engine.loads == [{"u0": 2}]
    assert (f.report.postponed, f.report.misses, f.report.hits) == (2, 1, 1)
    f.compile_at_once()
    f(torch.ones(3))
    assert engine.loads == [{"u0": 2}, {"u0": 3}]


def test_too_many_sizes_from_the_data_are_not_compiled_for():
    u0 = Symbol("u0")
    nodes = [
        node("aten.nonzero.default", "found", self="%x"),
        node("aten.mul.Scalar", "y", self="%found", other=3),
    ]
    types = {"found": tensor(u0, 1, dtype=DType.INT64), "y": tensor(u0, 1, dtype=DType.INT64)}
    p = program({"x": tensor(N)}, nodes, ["%y"], types, ranges={"s0": Range(1, 9)})
    f, engine = compiled(p, (ATEN, ["found"]), (HLO, ["y"]), cache_size=2)
    for n in (2, 2, 3, 3, 4, 4, 4, 5, 5, 2, 3):
        assert f(torch.ones(n)).tolist() == [[3 * i] for i in range(n)]
    assert [sizes["u0"] for sizes in engine.loads] == [2, 3]
    assert f.report.evictions == 0
    (fallback,) = f.report.fallbacks
    assert fallback.reason == "the data gave 2 sizes that came again; no others are compiled"
    used = {name: count for name, count in f.report.json()["cache"].items() if count}
    assert used == {"hits": 2, "misses": 2, "postponed": 7}


def test_scalars_that_nobody_computes_follow_from_what_a_segment_binds():
    u0 = Symbol("u0")
    twice = Apply("Mul", (2, u0))
    nodes = [
        node("aten.nonzero.default", "found", self="%x"),
        node("aten.sym_size.int", "n", self="%found", dim=0),
        node("_operator.mul", "m", "%n", 2),
        node("aten.full.default", "y", size=("%m",), fill_value=1.0),
    ]
    types = {
        "found": tensor(u0, 1, dtype=DType.INT64),
        "n": SymType(SymKind.INT, u0),
        "m": SymType(SymKind.INT, twice),
        "y": tensor(twice),
    }
    p = program({"x": T3}, nodes, ["%y", "%m"], types)
    f, _ = compiled(p, (ATEN, ["found", "y"]))
    y, m = f(torch.tensor([0.0, 1, 2]))
    assert y.shape == (4,)
    assert m == 4
    f, _ = compiled(p, (ATEN, ["found", "n"]), (ATEN, ["m"]), (ATEN, ["y"]))
    assert f(torch.zeros(3))[0].shape == (0,)


def test_a_static_segment_that_the_engine_refuses_runs_on_the_host():
    p = program({"x": T3}, [node("aten.mul.Scalar", "y", self="%x", other=2)], ["%y"], {"y": T3})
    f, engine = compiled(p, refuse=lambda *_: True)
    np.testing.assert_array_equal(f(np.ones(3, np.float32)), np.full(3, 2))
    assert engine.calls == 0
    assert f.report.json()["fallbacks"] == [
        {"segment": 0, "sizes": {}, "reason": "the engine refuses this segment"}
    ]


def test_a_segment_that_is_placed_on_the_host_is_compiled_once_for_all_sizes():
    f, engine = compiled(doubled(), (ATEN, ["y"]))
    f.prepare({"s0": 4})
    for n in (2, 3):
        assert f(torch.ones(n, 3)).tolist() == [[2.0] * 3] * n
    assert len(f.executor.loaded.on_host) == 1
    assert engine.loads == []
    assert (f.report.hits, f.report.misses, f.report.fallbacks) == (0, 0, [])


def test_a_refused_size_is_compiled_for_the_host_once():
    f, _ = compiled(doubled(), refuse=lambda segment, sizes: sizes["s0"] > 2)
    for n in (2, 3, 4, 3):
        f(torch.ones(n, 3))
    assert len(f.executor.loaded.on_host) == 1
    assert [fallback.sizes for fallback in f.report.fallbacks] == [{"s0": 3}, {"s0": 4}]


def test_a_binary_that_is_at_hand_is_loaded_by_the_call_that_needs_it():
    f, engine = compiled(doubled(), origin=FakeOrigin(None, {"s0": 2}), on_new_size=OnNewSize.ATEN)
    np.testing.assert_array_equal(f(np.ones((2, 3), np.float32)), np.full((2, 3), 2))
    assert engine.calls == 1
    assert f.report.tiers == {"static": 1, "dynamic": 0, "aten": 0}


@pytest.mark.parametrize("differs", [False, True])
def test_calls_wait_where_the_host_would_give_other_results(differs):
    origin = FakeOrigin()
    origin.host_differs = differs
    f, _ = compiled(doubled(), origin=origin, on_new_size=OnNewSize.DYNAMIC)
    np.testing.assert_array_equal(f(np.ones((2, 3), np.float32)), np.full((2, 3), 2))
    assert f.report.tiers == {"static": int(differs), "dynamic": 0, "aten": int(not differs)}
