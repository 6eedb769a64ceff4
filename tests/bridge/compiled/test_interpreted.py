"""A program interpreted as it was read: its writes are eager's, and a call that fails leaves none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bridge.compiled.hooks import StepEvent
from bridge.compiled.interpreted import Interpreted
from bridge.profiling import measure
from lowering.ir.plan import Placement
from lowering.ir.program import Program
from tests.runtime.fakes import node, plan, program, tensor, weights

TYPES = {"a": tensor(2), "b": tensor(2), "c": tensor(2)}


def counter(*last: Any) -> Program:
    """Adds the input to a buffer, then to itself, in place."""
    nodes = [
        node("aten.add_.Tensor", "a", self="%b_total", other="%x"),
        node("aten.mul_.Tensor", "b", self="%x", other="%x"),
        *last,
    ]
    return program({"x": tensor(2)}, nodes, ["%a"], TYPES, buffers={"total": tensor(2)})


def interpreted(made: Program) -> Interpreted:
    names = [item.name for item in made.graph.nodes]
    stored = weights(total=np.array([1.0, 1.0], np.float32))
    return Interpreted(made, plan(made, (Placement.ATEN, names)), stored)


def test_writes_reach_the_buffer_and_the_input() -> None:
    run = interpreted(counter())
    x = torch.tensor([2.0, 3.0])
    assert run(x).tolist() == [3, 4]
    assert x.tolist() == [4, 9]
    assert run.buffers["total"].tolist() == [3, 4]
    assert run.report.calls == 1
    run.reset()
    assert run.buffers["total"].tolist() == [1, 1]


def test_numpy_callers_get_numpy() -> None:
    run = interpreted(counter())
    x = np.array([2.0, 3.0], np.float32)
    assert isinstance(run(x), np.ndarray)
    np.testing.assert_array_equal(x, [4, 9])
    assert isinstance(run.buffers["total"], np.ndarray)


def test_a_call_that_fails_leaves_everything_as_it_was() -> None:
    run = interpreted(counter(node("aten.view.default", "c", self="%x", size=[3])))
    x = torch.tensor([2.0, 3.0])
    with pytest.raises(Exception, match=r"shape '\[3\]' is invalid"):
        run(x)
    assert x.tolist() == [2, 3]
    assert run.buffers["total"].tolist() == [1, 1]
    assert run.report.calls == 0


def test_a_profile_has_every_node_and_the_effects_of_a_call() -> None:
    run = interpreted(counter())
    x = torch.tensor([2.0, 3.0])
    profile = run.profile(x)
    assert [(span.name, span.nodes) for span in profile.of("operator")] == [
        ("aten.add_.Tensor", ("a",)),
        ("aten.mul_.Tensor", ("b",)),
    ]
    assert [span.kind for span in profile.of("bind", "step", "results")] == ["bind", "step", "results"]
    assert profile.placed == {0: "aten"}
    assert x.tolist() == [4, 9]
    assert measure(run, (x,), calls=1).calls == 1


@pytest.mark.parametrize("profiled", [False, True])
def test_a_call_is_one_step_that_hooks_see(profiled: bool) -> None:
    run = interpreted(counter())
    seen: list[StepEvent] = []
    x = torch.tensor([2.0, 3.0])
    with run.on_step(seen.append):
        run.profile(x) if profiled else run(x)
    run(x)
    (event,) = seen
    assert (event.segment, event.engine, event.nodes) == (0, "aten", ("a", "b"))
    # As it was before the program wrote to it.
    assert event.inputs["x"].tolist() == [2, 3]
    assert list(event.outputs) == ["a"]
    assert event.seconds > 0


def test_hooks_get_numpy_where_the_call_has_it() -> None:
    run = interpreted(counter())
    seen: list[StepEvent] = []
    with run.on_step(seen.append):
        run(np.array([2.0, 3.0], np.float32))
    values = (*seen[0].inputs.values(), *seen[0].outputs.values())
    assert all(isinstance(value, np.ndarray) for value in values)


def test_an_error_of_a_hook_ends_the_call_without_effects() -> None:
    def refuse(event: StepEvent) -> None:
        raise KeyError("no")

    run = interpreted(counter())
    x = torch.tensor([2.0, 3.0])
    with run.on_step(refuse), pytest.raises(KeyError):
        run(x)
    assert x.tolist() == [2, 3]
    assert run.buffers["total"].tolist() == [1, 1]


def test_what_a_call_writes_has_names() -> None:
    run = interpreted(counter())
    assert run.written == (("x",), ("total",))
