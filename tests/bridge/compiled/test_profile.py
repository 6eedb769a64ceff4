"""A profile has a span for each thing that a call does, and what engines say of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

import bridge.compiled.profile
from bridge.compiled.compiled import Compiled
from bridge.compiled.profile import Profile
from lowering.ir.weights import Weights
from lowering.targets.target import Built, Kernel
from runtime.bound_weights import BoundWeights
from runtime.executor import Executor
from tests.bridge.compiled.test_hooks import ATEN, STABLEHLO, counter, three_steps
from tests.runtime.fakes import FakeEngine, node, plan, program, tensor

T3 = tensor(3)


class Clock:
    """A second at each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


class Tracing(FakeEngine):
    """It takes an hour to prepare, another afterwards, and names nodes of others."""

    clock = Clock()
    given: list[Any]

    def trace(
        self, executable: Any, built: Built, handles: Sequence[Any], call: Callable[[], Any]
    ) -> tuple[Any, list[Kernel]]:
        self.clock.now += 3600
        self.given = [built.module.outputs[0].name, *(handle.tolist() for handle in handles)]
        results = call()
        self.clock.now += 3600
        return results, [Kernel("k", ("other", "y"), 0.5, 0.25, lane=2)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(bridge.compiled.profile, "perf_counter", made)
    monkeypatch.setattr(Tracing, "clock", made)
    return made


def traced() -> tuple[Compiled, Tracing]:
    made = program({"x": T3}, [node("aten.mul.Scalar", "y", self="%x", other=2)], ["%y"], {"y": T3})
    steps = plan(made, (STABLEHLO, ["y"]))
    tracing = Tracing(made, steps)
    executor = Executor(made, steps, BoundWeights(Weights()), tracing.specialise, "fake")
    return Compiled(executor), tracing


def shown(profile: Profile) -> list[tuple[str, str, int]]:
    return [(span.kind, span.name, span.segment) for span in profile.spans]


def test_each_thing_that_a_call_does_has_a_span() -> None:
    f, _ = three_steps()
    profile = f.profile(torch.ones(3))
    assert shown(profile) == [
        ("bind", "", -1),
        ("step", "", 0),
        ("import", "x", 0),
        ("execute", "fake", 0),
        ("step", "", 1),
        ("export", "y", 1),
        ("operator", "aten.add.Tensor", 1),
        ("step", "", 2),
        ("import", "z", 2),
        ("execute", "fake", 2),
        ("results", "", -1),
    ]
    assert [span.nodes for span in profile.of("operator")] == [("z",)]
    assert profile.placed == {0: "fake", 1: "aten", 2: "fake"}
    assert profile.step_seconds == tuple(span.seconds for span in profile.of("step"))
    assert repr(profile).startswith("Profile(fake, ")


def test_spans_follow_each_other_inside_the_call() -> None:
    f, _ = three_steps()
    profile = f.profile(torch.ones(3))
    outer = profile.of("bind", "step", "results")
    ends = [0.0, *(span.start + span.seconds for span in outer)]
    assert all(end <= span.start for end, span in zip(ends, outer, strict=False))
    assert ends[-1] == profile.seconds
    steps = {span.segment: span for span in profile.of("step")}
    for span in profile.of("import", "export", "execute", "operator"):
        step = steps[span.segment]
        assert step.start <= span.start
        assert span.start + span.seconds <= step.start + step.seconds


def test_an_engine_says_what_it_runs(clock: Clock) -> None:
    f, engine = traced()
    profile = f.profile(torch.ones(3))
    assert engine.given == ["y", [1.0] * 3]
    assert engine.calls == 1
    (execute,), (kernel,) = profile.of("execute"), profile.of("kernel")
    assert kernel[:2] == ("kernel", "k")
    assert kernel.start == execute.start + 0.5
    assert (kernel.seconds, kernel.segment, kernel.nodes, kernel.lane) == (0.25, 0, ("y",), 2)


def test_the_clock_stands_while_an_engine_traces(clock: Clock) -> None:
    f, _ = traced()
    profile = f.profile(torch.ones(3))
    (execute,) = profile.of("execute")
    assert execute.seconds == 1.0
    assert profile.seconds < 60
    assert execute.start + execute.seconds < profile.seconds


def test_an_engine_is_not_asked_without_need(clock: Clock) -> None:
    f, engine = traced()
    profile = f.profile_call((torch.ones(3),), {}, kernels=False)
    assert profile.of("kernel") == []
    assert not hasattr(engine, "given")
    assert engine.calls == 1


@pytest.mark.parametrize("placement", [STABLEHLO, ATEN])
def test_a_profiled_call_has_its_effects(placement: Any) -> None:
    f = counter(placement)
    profile = f.profile(x=np.ones(3, np.float32))
    assert f.buffers["n"].tolist() == [1.0] * 3
    assert f.report.calls == 1
    assert profile.seconds > 0


def test_hooks_see_a_profiled_call() -> None:
    f, _ = three_steps()
    seen: list[int] = []
    f.on_step(lambda event: seen.append(event.segment))
    f.profile(torch.ones(3))
    assert seen == [0, 1, 2]


def test_copies_of_a_call_are_counted() -> None:
    f, _ = three_steps()
    f(torch.ones(6)[::2])
    assert f.profile(torch.ones(6)[::2]).copies == 1
    assert f.profile(torch.ones(3)).copies == 0
