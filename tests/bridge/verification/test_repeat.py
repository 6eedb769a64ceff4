"""Calls that are given the same must give the same, bit for bit: what `verify(calls=N)` finds."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import bridge
from bridge import segment_compiler
from bridge.verification.repeat import any_order, same_bits
from bridge.verification.report import VerificationReport
from tests.bridge.engines import TestEngine
from tests.bridge.samples import Counter

X = torch.tensor([1.0, 0.0, 3.0])


class Doubled(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2


class Noisy(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.rand_like(x)


class Put(torch.nn.Module):
    def forward(self, x: torch.Tensor, at: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        return x.index_put((at,), values, accumulate=True)


Change = Callable[[np.ndarray], np.ndarray]


def _verify(
    monkeypatch: pytest.MonkeyPatch, module: torch.nn.Module, wrong: int, change: Change, calls: int
) -> VerificationReport:
    """What verification finds if the engine's call of that number, from 1, has its first output changed."""
    engine = TestEngine(bridge.lower(module, (X,)))
    monkeypatch.setattr(segment_compiler, "get_engine", lambda name: engine)
    first: Any = engine.lowered.functional.signature.outputs[0].value
    made = 0

    def lie(name: str, array: np.ndarray) -> np.ndarray:
        nonlocal made
        made += name == first.name
        return change(array.copy()) if name == first.name and made == wrong else array

    engine.lie = lie
    return bridge.verify(engine.lowered, (X,), engines=("iree",), calls=calls)


def _next(array: np.ndarray) -> np.ndarray:
    array[2] = np.nextafter(array[2], np.float32(np.inf))
    return array


def _minus_zero(array: np.ndarray) -> np.ndarray:
    array[1] = -0.0
    return array


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_next, "differs in 1 of 3 elements, most at [2]: 6.0000005, call 1 gave 6"),
        (_minus_zero, "has other strides, or other bits of a NaN or a zero"),
        (lambda array: array[:2].copy(), "has sizes [2], call 1 gave [3]"),
    ],
)
def test_one_wrong_call_fails_with_its_number(
    change: Change, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = _verify(monkeypatch, Doubled(), 38, change, calls=100)
    (row,) = report.engines
    assert all(difference.passed for difference in row.differences)
    assert not report.passed
    assert row.repeats is not None
    assert (row.repeats.calls, row.repeats.different) == (100, 1)
    assert [(d.name, d.problem) for d in row.repeats.differences] == [("call 38: output 0", problem)]
    assert "| 1 of 100 differ | DIFFERENT |" in report.markdown()
    assert f"- iree: call 38: output 0 {problem}" in report.markdown()
    plain = json.loads(json.dumps(report.json()))
    assert not plain["passed"]
    assert plain["engines"][0]["repeats"]["values"][0]["name"] == "call 38: output 0"


def test_a_wrong_first_call_makes_all_others_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    (row,) = _verify(monkeypatch, Doubled(), 1, _next, calls=20).engines
    assert row.repeats is not None
    assert row.repeats.different == 10  # and nine are given other numbers
    assert len(row.repeats.differences) == 5


def test_what_an_earlier_call_left_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fifth call returns the fourth one's result. It was given other numbers, as the third was."""
    engine = TestEngine(bridge.lower(Doubled(), (X,)))
    monkeypatch.setattr(segment_compiler, "get_engine", lambda name: engine)
    made: list[np.ndarray] = []

    def stale(name: str, array: np.ndarray) -> np.ndarray:
        made.append(array)
        return made[-2] if len(made) == 5 else array

    engine.lie = stale
    (row,) = bridge.verify(engine.lowered, (X,), engines=("iree",), calls=5).engines
    assert row.repeats is not None
    problem = "differs in 2 of 3 elements, most at [0]: 2, call 3 gave 6"
    assert [(d.name, d.problem) for d in row.repeats.differences] == [("call 5: output 0", problem)]


def test_other_numbers_that_are_refused_are_not_given() -> None:
    class Factors(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.cholesky(x)

    # The lower half counts: in reverse the matrix has a 5 there, and no factors.
    x = torch.tensor([[1.0, 5.0], [0.0, 1.0]])
    report = bridge.verify(Factors(), (x,), engines=("aten", "xla"), calls=10)
    assert report.passed, report.markdown()
    assert all(row.repeats is not None and row.repeats.calls == 10 for row in report.engines)


def test_a_row_of_calls_with_state_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Call 7 is the third of the second row, its like call 3; the buffer it leaves is wrong in call 8 too."""
    report = _verify(monkeypatch, Counter(), 7, _next, calls=4)
    (row,) = report.engines
    assert row.repeats is not None
    assert (row.repeats.calls, row.repeats.different) == (8, 2)
    names = [d.name.partition(": ")[0] for d in row.repeats.differences]
    assert dict.fromkeys(names).keys() == {"call 7", "call 8"}
    assert "call 3 gave" in row.repeats.differences[0].problem
    names = [d.name for d in row.differences]
    assert names[-1] == "call 4: buffer total after the call"


@pytest.mark.parametrize("module", [Doubled(), Counter(), Noisy()])
@pytest.mark.parametrize("engine", ["aten", "xla", "iree"])
def test_calls_of_engines_are_the_same(module: torch.nn.Module, engine: str) -> None:
    report = bridge.verify(module, (X,), engines=engine, calls=20)
    assert report.passed, report.markdown()
    repeats = report.engines[0].repeats
    assert repeats is not None
    assert repeats.calls == (20 if isinstance(module, Doubled) else 32)
    assert "the same bits" in report.markdown()


def test_a_program_without_a_functional_form_starts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    from bridge.compiled.interpreted import Interpreted

    lowered = bridge.lower(Counter(), (X,))
    compiled = Interpreted(lowered.program, lowered.plan, lowered.weights)
    first = {name: value.tolist() for name, value in compiled.buffers.items()}
    compiled(X.clone())
    assert {name: value.tolist() for name, value in compiled.buffers.items()} != first
    compiled.reset()
    assert {name: value.tolist() for name, value in compiled.buffers.items()} == first


def test_what_aten_sums_in_any_order_is_named() -> None:
    at, values = torch.zeros(4, dtype=torch.int64), torch.ones(4)
    report = bridge.verify(Put(), (torch.zeros(3), at, values), engines="aten", calls=2)
    assert report.passed
    assert "| 2, within tolerance | equal |" in report.markdown()
    assert (
        "sums in another order each time on several threads: index_put (aten.index_put" in report.markdown()
    )
    exact = bridge.lower(Put(), (torch.zeros(3).double(), at, values.double())).program
    assert any_order(exact.graph, {node.name for node in exact.graph.nodes}) == ()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (torch.tensor([1.0, float("nan")]), torch.tensor([1.0, float("nan")]), True),
        (torch.tensor(0.0), torch.tensor(-0.0), False),
        (torch.tensor(1), torch.tensor(1, dtype=torch.int32), False),
        (torch.ones(2, 3), torch.ones(3, 2).mT, False),
        (torch.tensor([1 + 2j]), torch.tensor([1 + 2j]), True),
        (torch.tensor([True]), torch.tensor([False]), False),
        (torch.zeros(0, 2), torch.zeros(0, 2), True),
        (torch.eye(2).to_sparse(), torch.eye(2).to_sparse(), True),
        (float("nan"), float("nan"), True),
        (1, 1.0, False),
    ],
)
def test_same_bits(one: Any, other: Any, same: bool) -> None:
    assert same_bits(one, other) is same
