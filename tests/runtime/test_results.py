"""Results and written values: the memory that each has, and writes that are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from lowering.ir.plan import Placement
from lowering.ir.program import InputKind, InputSpec, OutputKind, OutputSpec
from lowering.targets.errors import ExecutionError, InputError
from runtime.inputs import Binder
from runtime.results import read_contract
from tests.runtime.fakes import compiled, node, program, tensor, weights

ADDED = node("aten.add.Tensor", "y", self="%x", other="%x")
WRITING = program({"x": tensor(2)}, [ADDED], ["%y"], {"y": tensor(2)}, writes={"x": "y"})
PLACES = (Placement.STABLEHLO, Placement.ATEN)


def contract(made: Any) -> Any:
    return read_contract(made, Binder(made).leaves)


def test_a_contract_tells_constants_from_what_is_written() -> None:
    made = program(
        {"x": tensor(2)},
        [node("aten.add.Tensor", "y", self="%b_total", other="%x")],
        ["%y", "%x", 3],
        {"y": tensor(2)},
        buffers={"total": tensor(2), "scale": tensor(2)},
        writes={"total": "y"},
    )
    found = contract(made)
    assert (found.constants, found.buffers) == ({"b_scale": "scale"}, {"total": "b_total"})
    assert (found.buffer_writes, found.input_writes) == ((("y", "total"),), ())
    assert found.identity == {"x": 0}
    assert contract(WRITING).input_writes == (("y", 0),)
    assert contract(WRITING).identity == {"y": 0}, "the new value is the caller's tensor"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (OutputKind.PARAMETER_GRADIENT, "outputs of kind"),
        (OutputKind.BUFFER_MUTATION, "the program writes total, which it does not read"),
    ],
)
def test_what_cannot_be_run_is_said(kind: OutputKind, message: str) -> None:
    made = program({"x": tensor(2)}, [ADDED], ["%y"], {"y": tensor(2)})
    spec = OutputSpec(kind, made.signature.outputs[0].value, "total")
    with pytest.raises(ExecutionError, match=message):
        contract(_with(made, outputs=(spec,)))


def test_a_script_object_cannot_be_run() -> None:
    made = program({"x": tensor(2)}, [ADDED], ["%y"], {"y": tensor(2)})
    spec = InputSpec(InputKind.OBJECT, "o", "packed")
    with pytest.raises(ExecutionError, match="the script object 'packed' cannot be run"):
        read_contract(_with(made, inputs=(*made.signature.inputs, spec)), Binder(made).leaves)


def _with(made: Any, **changes: Any) -> Any:
    return replace(made, signature=replace(made.signature, **changes))


@pytest.mark.parametrize("place", PLACES)
def test_an_input_is_written_and_returned_as_the_callers_tensor(place: Placement) -> None:
    run, _ = compiled(WRITING, (place, ["y"]))
    x = torch.tensor([1.0, 2.0])
    assert run(x) is x
    assert x.tolist() == [2, 4]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.zeros(1).expand(2), "`x` is expanded (a stride is 0), and the program writes to it"),
        (np.broadcast_to(np.float32(0), 2), "`x` is read-only, and the program writes to it"),
    ],
)
def test_an_input_that_cannot_be_written_is_refused_before_anything_runs(given: Any, message: str) -> None:
    run, engine = compiled(WRITING)
    with pytest.raises(InputError) as caught:
        run(given)
    assert str(caught.value) == message
    assert engine.calls == 0


def test_an_input_that_another_shares_is_not_written() -> None:
    nodes = [node("aten.add.Tensor", "y", self="%x", other="%z")]
    made = program({"x": tensor(2), "z": tensor(2)}, nodes, [], {"y": tensor(2)}, writes={"x": "y"})
    run, _ = compiled(made)
    memory = torch.zeros(3)
    with pytest.raises(InputError, match="`x`, which the program writes to, shares memory with `z`"):
        run(memory[:2], memory[1:])


@pytest.mark.parametrize("place", PLACES)
def test_a_returned_buffer_and_weight_are_copies(place: Placement) -> None:
    made = program(
        {"x": tensor(2)},
        [node("aten.add.Tensor", "y", self="%b_total", other="%x")],
        ["%y", "%b_scale"],
        {"y": tensor(2)},
        buffers={"total": tensor(2), "scale": tensor(2)},
        writes={"total": "y"},
    )
    stored = weights(total=np.zeros(2, np.float32), scale=np.ones(2, np.float32))
    run, _ = compiled(made, (place, ["y"]), weights=stored)
    for got in run(torch.ones(2)):
        got.fill_(9)
    total, scale = run(torch.ones(2))
    assert (total.tolist(), scale.tolist()) == ([2, 2], [1, 1])
