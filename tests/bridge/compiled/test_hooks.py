"""Hooks see each step with its values; without any, calls take the short way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

import bridge
from bridge.compiled.compiled import Compiled
from bridge.compiled.hooks import StepEvent
from lowering.ir.plan import Placement
from lowering.ir.program import Range
from lowering.targets.errors import InputError
from tests.runtime.fakes import FakeEngine, N, compiled, node, program, tensor, weights

T3 = tensor(3)
STABLEHLO, ATEN = Placement.STABLEHLO, Placement.ATEN


def three_steps() -> tuple[Compiled, FakeEngine]:
    """(2x + w) * 3, a step each; the second is on ATen."""
    nodes = [
        node("aten.mul.Scalar", "y", self="%x", other=2),
        node("aten.add.Tensor", "z", self="%y", other="%b_w"),
        node("aten.mul.Scalar", "out", self="%z", other=3),
    ]
    types = {"y": T3, "z": T3, "out": T3}
    made = program({"x": T3}, nodes, ["%out"], types, buffers={"w": T3})
    w = np.array([0.0, 1.0, 2.0], np.float32)
    steps = ((STABLEHLO, ["y"]), (ATEN, ["z"]), (STABLEHLO, ["out"]))
    return compiled(made, *steps, weights=weights(w=w))


def counter(placement: Placement) -> Compiled:
    """Adds its input to a buffer, and returns the sum."""
    nodes = [node("aten.add.Tensor", "y", self="%b_n", other="%x")]
    made = program({"x": T3}, nodes, ["%y"], {"y": T3}, buffers={"n": T3}, writes={"n": "y"})
    return compiled(made, (placement, ["y"]), weights=weights(n=np.zeros(3, np.float32)))[0]


def doubled() -> Compiled:
    nodes = [node("aten.mul.Scalar", "y", self="%x", other=2)]
    return compiled(program({"x": T3}, nodes, ["%y"], {"y": T3}))[0]


class Squeezing(torch.nn.Module):
    """Its axis of rows is none where there is one row."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.squeeze(0) * 2


def lists(values: Mapping[str, torch.Tensor]) -> dict[str, list[float]]:
    return {name: value.tolist() for name, value in values.items()}


def test_a_hook_sees_each_step_with_its_values() -> None:
    f, _ = three_steps()
    seen: list[tuple[object, ...]] = []
    f.on_step(lambda e: seen.append((e.segment, e.engine, e.nodes, lists(e.inputs), lists(e.outputs))))
    assert f(torch.ones(3)).tolist() == [6.0, 9.0, 12.0]
    y, z, out = [2.0, 2.0, 2.0], [2.0, 3.0, 4.0], [6.0, 9.0, 12.0]
    assert seen == [
        (0, "fake", ("y",), {"x": [1.0, 1.0, 1.0]}, {"y": y}),
        (1, "aten", ("z",), {"y": y}, {"z": z}),
        (2, "fake", ("out",), {"z": z}, {"out": out}),
    ]


def test_values_are_of_the_calls_library() -> None:
    f, _ = three_steps()
    kinds: set[type] = set()
    f.on_step(lambda event: kinds.update(map(type, (*event.inputs.values(), *event.outputs.values()))))
    f(np.ones(3, np.float32))
    assert kinds == {np.ndarray}
    f(torch.ones(3))
    assert kinds == {np.ndarray, torch.Tensor}


def test_steps_come_in_the_order_of_time() -> None:
    f, _ = three_steps()
    seen: list[StepEvent] = []
    f.on_step(seen.append)
    f(torch.ones(3))
    ends = [event.start + event.seconds for event in seen]
    assert all(event.seconds > 0 for event in seen)
    assert all(end <= event.start for end, event in zip(ends, seen[1:], strict=False))


def test_a_removed_hook_brings_the_short_way_back() -> None:
    f = doubled()
    short = f.executor.loaded.fast
    assert short is not None
    seen: list[StepEvent] = []
    with f.on_step(seen.append) as hook:
        assert f.executor.loaded.fast is None
        f(torch.ones(3))
    assert f.executor.loaded.fast is short
    f(torch.ones(3))
    hook.remove()
    assert f.executor.loaded.fast is short
    assert len(seen) == 1


def test_the_short_way_comes_back_with_the_last_hook() -> None:
    f = doubled()
    seen: list[str] = []
    one, other = (f.on_step(lambda event, name=name: seen.append(name)) for name in ("one", "other"))
    f(torch.ones(3))
    one.remove()
    assert f.executor.loaded.fast is None
    f(torch.ones(3))
    other.remove()
    assert f.executor.loaded.fast is not None
    assert seen == ["one", "other", "other"]


def dynamic(**options: Any) -> Compiled:
    nodes = [node("aten.mul.Scalar", "y", self="%x", other=2)]
    made = program({"x": tensor(N)}, nodes, ["%y"], {"y": tensor(N)}, ranges={"s0": Range(2, 9)})
    return compiled(made, **options)[0]


def test_the_engine_is_the_one_that_ran_the_step() -> None:
    f = dynamic(refuse=lambda segment, sizes: sizes["s0"] == 3)
    seen: list[str] = []
    f.on_step(lambda event: seen.append(event.engine))
    f(torch.ones(2))
    f(torch.ones(3))
    assert seen == ["fake", "aten"]


def test_sizes_at_which_types_do_not_hold_run_on_the_host() -> None:
    x = torch.ones(2, 6)
    shape = {"x": {0: torch.export.Dim("n", min=0, max=9)}}
    model = Squeezing()
    compiled = bridge.lower(torch.export.export(model, (x,), dynamic_shapes=shape)).compile(
        "xla", on_new_size="wait"
    )
    assert isinstance(compiled, Compiled)
    seen: list[str] = []
    compiled.on_step(lambda event: seen.append(event.engine))
    for rows in (2, 1):
        assert torch.equal(compiled(torch.ones(rows, 6)), model(torch.ones(rows, 6)))
    assert seen == ["xla", "aten"]
    assert compiled.profile(torch.ones(1, 6)).placed == {0: "aten"}


def test_sizes_are_learnt_once_no_hook_is_left() -> None:
    f = dynamic()
    with f.on_step(lambda event: None):
        f(torch.ones(4))
        assert f.executor.loaded.fast is None
    f(torch.ones(4))
    assert f.executor.loaded.fast is not None


@pytest.mark.parametrize("placement", [STABLEHLO, ATEN])
def test_an_input_is_as_it_was_before_the_step_wrote_it(placement: Placement) -> None:
    f = counter(placement)
    f(torch.ones(3))
    seen: list[tuple[list[float], list[float]]] = []
    f.on_step(lambda event: seen.append((event.inputs["b_n"].tolist(), event.outputs["y"].tolist())))
    f(torch.ones(3))
    assert seen == [([1.0] * 3, [2.0] * 3)]


@pytest.mark.parametrize("placement", [STABLEHLO, ATEN])
def test_an_error_of_a_hook_ends_the_call(placement: Placement) -> None:
    f = counter(placement)

    def fail(event: StepEvent) -> None:
        raise ZeroDivisionError(event.segment)

    with f.on_step(fail), pytest.raises(ZeroDivisionError):
        f(torch.ones(3))
    assert f.buffers["n"].tolist() == [0.0] * 3
    assert f(torch.ones(3)).tolist() == [1.0] * 3


def test_a_call_that_is_refused_has_no_steps() -> None:
    f = doubled()
    seen: list[StepEvent] = []
    f.on_step(seen.append)
    with pytest.raises(InputError):
        f(torch.ones(4))
    assert seen == []
