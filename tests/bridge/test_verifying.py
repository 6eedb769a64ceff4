"""Verification fails when it should: every way an engine can be wrong shows in the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bridge
from bridge import segment_compiler
from bridge.errors import BridgeError, UsageError
from bridge.verification.report import VerificationReport
from lowering.ir.errors import EngineError
from runtime.results import Results
from tests.bridge.engines import TestEngine
from tests.bridge.samples import NAMES, Counter, lowered, path_of
from tests.pt2_samples import SAMPLES

X = torch.tensor([1.0, 2.0, 3.0])


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> TestEngine:
    """What `iree` is in this test."""
    fake = TestEngine(bridge.lower(Counter(), (X,)))
    monkeypatch.setattr(segment_compiler, "get_engine", lambda name: fake)
    return fake


def _verify(engine: TestEngine, **options: Any) -> VerificationReport:
    return bridge.verify(engine.lowered, (X,), engines=("iree",), **options)


def _problems(report: VerificationReport) -> dict[str, str]:
    return {d.name: d.problem for d in report.engines[0].differences if not d.passed}


def test_an_engine_that_is_right_passes(engine: TestEngine) -> None:
    report = _verify(engine, calls=3)
    assert report.passed
    assert [d.name for d in report.engines[0].differences[:4]] == [
        "output 0",
        "output 1",
        "input 0 after the call",
        "buffer total after the call",
    ]
    assert "| iree | 1 |" in report.markdown()
    assert "equal" in report.markdown()


def _lie(engine: TestEngine, output: int, change: Callable[[np.ndarray], Any]) -> None:
    """Change what the engine gives for one output of the functional program."""
    value: Any = engine.lowered.functional.signature.outputs[output].value
    engine.lie = lambda name, array: change(array.copy()) if name == value.name else array


def _index(engine: TestEngine, kind: str) -> int:
    kinds = [spec.kind.value for spec in engine.lowered.functional.signature.outputs]
    return kinds.index(kind)


def _off(array: np.ndarray) -> np.ndarray:
    array[1] += np.float32(0.25)
    return array


def _nan(array: np.ndarray) -> np.ndarray:
    array[0] = np.nan
    return array


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_off, "differs in 1 of 3 elements, most at [1]: 2.25, eager gives 2"),
        (_nan, "differs in 1 of 3 elements, most at [0]: nan, eager gives 1"),
        (lambda array: array * np.float32(np.inf), "differs in 3 of 3 elements"),
        (lambda array: array.astype(np.float64), "is torch.float64, eager gives torch.float32"),
        (lambda array: array[:2].copy(), "has sizes [2], eager gives [3]"),
        (lambda array: array[None].copy(), "has sizes [1, 3], eager gives [3]"),
    ],
)
def test_a_wrong_output_is_found(
    change: Callable[[np.ndarray], np.ndarray], problem: str, engine: TestEngine
) -> None:
    _lie(engine, _index(engine, "user"), change)
    report = _verify(engine)
    assert not report.passed
    assert _problems(report)["output 0"].startswith(problem)
    assert "DIFFERENT" in report.markdown()
    assert f"- iree: output 0 {problem}" in report.markdown()
    assert not json.loads(json.dumps(report.json()))["passed"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("buffer_mutation", "buffer total after the call"),
        ("input_mutation", "input 0 after the call"),
    ],
)
def test_a_wrong_side_effect_is_found(kind: str, name: str, engine: TestEngine) -> None:
    _lie(engine, _index(engine, kind), _off)
    assert name in _problems(_verify(engine))


def test_a_buffer_that_is_never_written_is_found(engine: TestEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    from bridge.compiled.compiled import Compiled

    monkeypatch.setattr(Compiled, "buffers", {})
    problems = _problems(_verify(engine))
    assert list(problems) == ["buffer total after the call"]
    assert problems["buffer total after the call"].startswith("differs in 3 of 3 elements")


def test_state_that_is_lost_between_calls_is_found(engine: TestEngine) -> None:
    calls = []

    def forget(name: str, array: np.ndarray) -> np.ndarray:
        calls.append(name)
        return array * 0 + 1 if len(calls) > len(set(calls)) and "add" in name else array

    engine.lie = forget
    problems = _problems(_verify(engine, calls=2))
    assert problems
    assert all(name.startswith("call 2: ") for name in problems)


def _finishing(monkeypatch: pytest.MonkeyPatch, change: Callable[[list[Any]], list[Any]]) -> None:
    finish = Results.finish
    monkeypatch.setattr(Results, "finish", lambda *given: change(finish(*given)))


def test_a_wrong_structure_is_found(engine: TestEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    from bridge.compiled.compiled import Compiled

    call = Compiled.__call__
    monkeypatch.setattr(Compiled, "__call__", lambda *given: tuple(call(*given).values()))
    problems = _problems(_verify(engine))
    assert list(problems) == ["the result's structure"]
    monkeypatch.setattr(Compiled, "__call__", lambda *given: {"sum": call(*given)["sum"]})
    assert _problems(_verify(engine))["output 1"] == "is missing"
    monkeypatch.setattr(Compiled, "__call__", lambda *given: {**call(*given), "more": X})
    assert _problems(_verify(engine))["output 2"] == "is there, and eager gives none"
    monkeypatch.setattr(Compiled, "__call__", lambda *given: {**call(*given), "sum": 3})
    assert _problems(_verify(engine))["output 0"] == "is int, eager gives a tensor"


def test_an_output_that_is_not_dense_is_found(engine: TestEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def spread(leaves: list[Any]) -> list[Any]:
        return [torch.stack([leaf, leaf], 1)[:, 0] for leaf in leaves]

    _finishing(monkeypatch, spread)
    assert _problems(_verify(engine))["output 0"] == "has strides [2], eager gives a dense tensor"


@pytest.mark.parametrize("error", [EngineError("it broke"), RuntimeError("it broke"), TypeError("it broke")])
def test_an_error_is_a_failed_row(error: Exception, engine: TestEngine) -> None:
    def fail(name: str, array: np.ndarray) -> np.ndarray:
        raise error

    engine.lie = fail
    report = _verify(engine)
    assert not report.passed
    assert report.engines[0].problem == f"{type(error).__name__}: it broke"
    assert "| FAILED |" in report.markdown()


def test_fallbacks_are_reported(engine: TestEngine) -> None:
    engine.at_compile = lambda nodes: ("too hard", None)
    report = _verify(engine)
    assert report.passed
    assert set(report.engines[0].reasons.values()) == {"iree: too hard"}
    assert (report.engines[0].stablehlo_nodes, report.engines[0].aten_nodes) == (0, 4)


# ------------------------------------------------------------------------------------ what is verified


@pytest.mark.parametrize("name", NAMES)
def test_files_pass_with_drawn_inputs(name: str) -> None:
    report = bridge.verify(lowered(name), engines=("aten",), calls=2)
    assert report.passed, report.markdown()
    assert report.engines[0].differences


def test_files_pass_with_inputs_of_numpy() -> None:
    for sample in SAMPLES:
        if sample.path.parent.name == "torch-2.13.0" and sample.name in ("tree", "mixed_types", "branch"):
            args, kwargs = sample.call(sample.leaves())
            report = bridge.verify(sample.path, args, kwargs, engines=["aten"])
            assert report.passed, report.markdown()


def test_every_kind_of_source(tmp_path: Path) -> None:
    module = Counter()
    exported = torch.export.export(Counter(), (X,))
    torch.export.save(exported, tmp_path / "counter.pt2")
    lower = bridge.lower(tmp_path / "counter.pt2")
    lower.save(tmp_path / "counter.bridge")
    file = "the program as read, on ATen"
    torchs = "ExportedProgram.module()"
    for source, reference in (
        (module, torchs),
        (exported, torchs),
        (lower, file),
        (tmp_path / "counter.pt2", file),
        (str(tmp_path / "counter.bridge"), file),
    ):
        report = bridge.verify(source, kwargs={"x": X}, engines="aten", calls=2)
        assert report.passed, report.markdown()
        assert report.reference == reference
        assert len(report.engines[0].differences) == 8


def test_modules_and_inputs_are_left_as_they_were() -> None:
    module, x = Counter(), X.clone()
    total = module.total
    for _ in range(2):
        assert bridge.verify(module, (x,), engines=["aten"], calls=3).passed
    assert module.total is total
    assert total.tolist() == [0.0, 0.0, 0.0]
    assert torch.equal(x, X)
    exported = torch.export.export(module, (x,))
    array = X.numpy().copy()
    assert bridge.verify(exported, (array,), engines=["aten"]).passed
    assert array.tolist() == X.tolist()
    assert exported.state_dict["total"].tolist() == [0.0, 0.0, 0.0]
    with pytest.raises(BridgeError, match="eager itself fails on these inputs"):
        bridge.verify(exported, (torch.ones(5),), engines=["aten"])
    assert total.tolist() == [0.0, 0.0, 0.0]


class Noisy(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.rand_like(x)


def test_random_numbers_are_the_same_on_both_sides_and_nobody_elses_change() -> None:
    state = torch.get_rng_state()
    assert bridge.verify(Noisy(), (X,), engines=["aten", "iree"], calls=2).passed
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bridge.verify(Counter(), X), r"args is a Tensor; give a tuple .* args=\(x,\)"),
        (lambda: bridge.verify(Counter()), "Counter: a module needs example arguments"),
        (lambda: bridge.verify(Counter(), (X,), engines=()), "nothing to verify without an engine"),
        (lambda: bridge.verify(Counter(), (X,), engines=["tpu"]), "the engine 'tpu' does not exist"),
        (lambda: bridge.verify(3), "int is not a model: give a .pt2 path"),
        (lambda: bridge.verify(path_of("mlp"), dynamic_shapes={}), "dynamic_shapes are for a module"),
        (lambda: bridge.verify("/nowhere.pt2"), "/nowhere.pt2: no such file"),
    ],
)
def test_what_cannot_be_verified_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(BridgeError, match=message):
        call()


def test_inputs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BridgeError, match=r"the inputs do not fit the program: .*the program takes"):
        bridge.verify(path_of("mlp"), (torch.ones(1),), engines=["aten"])
    with pytest.raises(UsageError, match="kwargs is a list"):
        bridge.verify(path_of("mlp"), kwargs=[1], engines=["aten"])


def test_eager_failing_is_said(tmp_path: Path) -> None:
    class Lookup(torch.nn.Module):
        def forward(self, table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
            return table[index]

    args = (torch.ones(3), torch.tensor([1]))
    with pytest.raises(BridgeError, match=r"eager itself fails on these inputs: .*index 7 is out of"):
        bridge.verify(bridge.lower(Lookup(), args), (args[0], torch.tensor([7])), engines=["aten"])


def test_an_engine_that_is_not_asked_is_not_reported(engine: TestEngine) -> None:
    assert [row.engine for row in _verify(engine).engines] == ["iree"]
