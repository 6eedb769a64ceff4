"""Verification on edge values: drawn per kind, compared from the same start, reported apart from the rest."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import bridge
from bridge import segment_compiler
from bridge.verification.edges import FLOATS, INTEGERS, KINDS, edge_calls
from tests.bridge.command_line import bridge_cli, ok
from tests.bridge.engines import TestEngine
from tests.bridge.samples import Counter

X = torch.tensor([1.0, 2.0, 3.0])


def _lowered(function: Callable[..., Any], *args: Any) -> bridge.Lowered:
    class Module(torch.nn.Module):
        def forward(self, *given: Any) -> Any:
            return function(*given)

    return bridge.lower(Module(), args)


# ------------------------------------------------------------------------------------ what is drawn

Judge = Callable[[torch.Tensor, torch.finfo], torch.Tensor]

# What elements of a kind are, and how many of 84 are such at least.
ARE: dict[str, tuple[Judge, int]] = {
    "subnormals": (lambda x, f: (x != 0) & (x.abs() < f.smallest_normal), 84),
    "NaN": (lambda x, f: x.isnan(), 28),
    "infinities": (lambda x, f: x.isinf(), 42),
    "ties": (lambda x, f: (x - x.floor()) == 0.5, 84),
    "extremes": (lambda x, f: (x.abs() == f.max) | (x.abs() == f.smallest_normal) | (x == 0), 72),
}

HAVE_ALL = (
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float8_e5m2,
    torch.complex64,
    torch.complex128,
)

# Kinds that a dtype has no number of.
HAS_NOT = {
    torch.float8_e4m3fn: {"infinities"},
    torch.float8_e4m3fnuz: {"infinities"},
    torch.float8_e5m2fnuz: {"infinities"},
}


@pytest.mark.parametrize("kind", FLOATS)
@pytest.mark.parametrize("dtype", [*HAVE_ALL, *HAS_NOT], ids=str)
def test_floats(dtype: torch.dtype, kind: str) -> None:
    ordinary = torch.ones(7, 12).to(dtype).T
    calls = edge_calls(_lowered(lambda x: x.clone(), ordinary), ((ordinary,), {}), "cpu", 0)
    assert set(FLOATS) - set(calls) == HAS_NOT.get(dtype, set())
    if kind not in calls:
        return
    ((drawn,), _) = calls[kind]
    assert (drawn.dtype, drawn.shape) == (dtype, ordinary.shape)
    judge, least = ARE[kind]
    parts = torch.view_as_real(drawn) if dtype.is_complex else drawn
    wide = parts.to(torch.float64)
    such = judge(wide, torch.finfo(parts.dtype))
    assert parts.numel() // 84 * least <= int(such.sum())
    assert kind == "NaN" or len(set(wide[such].tolist())) > 1
    assert set(wide[~such].tolist()) <= {0.0, 1.0}  # the numbers of the ordinary call
    assert bool((ordinary.to(torch.complex64) == 1).all())


@pytest.mark.parametrize(
    ("function", "args", "ends"),
    [
        (lambda t, i: t[i], (torch.ones(7, 3), torch.tensor([1, 2])), {0, 6}),
        (lambda t, i: t[:, i], (torch.ones(7, 3), torch.tensor([1, 2])), {0, 2}),
        (lambda t, i: t[i] * t[i], (torch.ones(1), torch.tensor([0, 0])), {0}),
        (lambda t, i: t + i, (torch.ones(2), torch.tensor([1, 2])), {0, 9}),
        (lambda t, i: t + i, (torch.ones(2), torch.tensor([1, 2], dtype=torch.uint8)), {0, 9}),
    ],
)
def test_integers_are_the_ends_of_their_range(
    function: Callable[..., Any], args: tuple[Any, ...], ends: set[int]
) -> None:
    calls = edge_calls(_lowered(function, *args), (args, {}), "cpu", 0)
    table, drawn = calls[INTEGERS][0]
    assert torch.equal(table, args[0])
    assert drawn.dtype is args[1].dtype
    assert set(drawn.tolist()) == ends
    assert all(torch.equal(calls[kind][0][1], args[1]) for kind in FLOATS)


def test_everything_else_stays() -> None:
    args = (torch.tensor([True, False]), 3, np.array([1.5], dtype=np.float32), torch.ones(0))
    lowered = _lowered(lambda m, n, x, e: (m.sum() * n + x, e + 1), args[0], 3, torch.ones(1), args[3])
    calls = edge_calls(lowered, (args, {}), "cpu", 0)
    assert set(calls) == set(FLOATS)
    mask, number, _, empty = calls["NaN"][0]
    assert (mask.tolist(), number, empty.shape) == ([True, False], 3, (0,))
    assert args[2].tolist() == [1.5]


# ------------------------------------------------------------------------------------ what is reported


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> TestEngine:
    """What `iree` is in this test."""
    fake = TestEngine(bridge.lower(Counter(), (X,)))
    monkeypatch.setattr(segment_compiler, "get_engine", lambda name: fake)
    return fake


def _no_nan(engine: TestEngine) -> None:
    engine.lie = lambda name, array: np.nan_to_num(array, nan=0.0, posinf=np.inf, neginf=-np.inf)


@pytest.mark.parametrize("calls", [1, 3])
def test_each_kind_starts_anew(calls: int, engine: TestEngine) -> None:
    """A NaN that got into a buffer would stay in it."""
    seen = []
    engine.lie = lambda name, array: seen.append(bool(np.isnan(array).any())) or array
    for source in (engine.lowered, Counter(), torch.export.export(Counter(), (X,))):
        seen.clear()
        report = bridge.verify(source, (X,), engines=("iree", "aten"), calls=calls, edges=True)
        assert report.passed, report.markdown()
        assert [edge.kind for edge in report.engines[0].edges] == list(FLOATS)
        assert any(seen)
        assert not seen[-1]
        assert report.left_out == {INTEGERS: "no input can hold such values"}


def test_a_difference_is_of_its_kind(engine: TestEngine) -> None:
    _no_nan(engine)
    assert bridge.verify(engine.lowered, (X,), engines="iree").passed
    report = bridge.verify(engine.lowered, (X,), engines="iree", edges=True)
    (row,) = report.engines
    assert not report.passed
    assert row.ordinary_passed
    assert {edge.kind for edge in row.edges if not edge.passed} == {"NaN"}
    text = report.markdown()
    assert "| 1 | equal |" in text
    assert "| iree | NaN | 4 | inf | DIFFERENT |" in text
    assert "| iree | ties | 4 | 0 | equal |" in text
    assert "- iree, NaN: output 0 differs in 1 of 3 elements, most at " in text
    assert "docs/reference/differences.md" in text
    data = json.loads(json.dumps(report.json()))
    assert [e["kind"] for e in data["engines"][0]["edges"] if not e["passed"]] == ["NaN"]
    assert list(data["left_out"]) == [INTEGERS]


def test_an_error_is_of_its_kind(engine: TestEngine) -> None:
    def fail(name: str, array: np.ndarray) -> np.ndarray:
        if np.isinf(array).any():
            raise RuntimeError("it broke")
        return array

    engine.lie = fail
    report = bridge.verify(engine.lowered, (X,), engines="iree", edges=True)
    assert not report.passed
    problems = {edge.kind: edge.problem for edge in report.engines[0].edges}
    assert problems["infinities"] == "RuntimeError: it broke"
    assert problems["NaN"] == problems["ties"] == problems["subnormals"] == ""
    assert "| iree | infinities | 0 | 0 | FAILED |" in report.markdown()


class Finite(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.ops.aten._assert_async.msg(x.isfinite().all(), "not finite")
        return x + 1


def test_a_kind_on_which_eager_fails_is_left_out() -> None:
    for source in (Finite(), bridge.lower(Finite(), (X,))):
        report = bridge.verify(source, (X,), engines="aten", edges=True)
        assert report.passed
        assert [edge.kind for edge in report.engines[0].edges] == ["subnormals", "ties", "extremes"]
        assert set(report.left_out) == {"NaN", "infinities", INTEGERS}
        assert "- NaN left out: eager itself fails on these inputs: " in report.markdown()


def test_without_edges_there_are_none() -> None:
    report = bridge.verify(Counter(), (X,), engines="aten")
    assert (report.engines[0].edges, report.left_out) == ((), {})
    assert "edge" not in report.markdown()
    assert "left out" not in report.markdown()


class Log(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.log()


@pytest.mark.parametrize("engine_name", ["iree", "xla"])
def test_a_known_difference_does_not_pass(engine_name: str) -> None:
    """docs/reference/differences.md has it: `log` of a subnormal."""
    report = bridge.verify(Log(), (X,), engines=engine_name, edges=True)
    assert {edge.kind for edge in report.engines[0].edges if not edge.passed} == {"subnormals"}
    assert not report.passed
    assert bridge.verify(Log(), (X,), engines=engine_name).passed


def test_the_command_counts_them_where_asked(tmp_path: Any) -> None:
    path = tmp_path / "log.pt2"
    torch.export.save(torch.export.export(Log(), (X,)), path)
    assert "edge" not in ok("verify", path, "-e", "iree")
    status, out, _ = bridge_cli("verify", path, "-e", "iree", "--edges")
    assert status == 1
    assert "| iree | subnormals | 2 | inf | DIFFERENT |" in out
    out = ok("verify", path, "-e", "aten", "--edges", "--json")
    assert [edge["kind"] for edge in json.loads(out)["engines"][0]["edges"]] == list(KINDS[:-1])
