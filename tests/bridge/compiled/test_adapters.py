"""The adapters of a program by name, and the tensors that come with their calls."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from bridge.compiled.adapters import Adapters, given
from bridge.compiled.compiled import Compiled
from lowering.ir.program import InputKind, InputSpec, Program, Ref
from lowering.targets.errors import ExecutionError
from runtime.frame import NOTHING_GIVEN
from tests.runtime.fakes import FakeEngine, compiled, node, program, tensor

T3 = tensor(3)


class Bound(NamedTuple):
    form: str
    tensors: dict[str, Any]


def with_adapter() -> Program:
    """x + an adapter's tensor."""
    made = program({"x": T3}, [node("aten.add.Tensor", "y", self="%x", other="%a")], ["%y"], {"y": T3})
    graph = replace(made.graph, inputs=(*made.graph.inputs, Ref("a")), values={**made.graph.values, "a": T3})
    specs = (*made.signature.inputs, InputSpec(InputKind.ADAPTER, "a", "the.adapter"))
    return replace(made, graph=graph, signature=replace(made.signature, inputs=specs))


def base() -> tuple[Compiled, FakeEngine]:
    return compiled(program({"x": T3}, [node("aten.neg.default", "y", self="%x")], ["%y"], {"y": T3}))


def adapted() -> Compiled:
    return compiled(with_adapter(), given=NOTHING_GIVEN)[0]


def test_tensors_come_with_each_call() -> None:
    made = adapted()
    found = given(made.executor, {"the.adapter": np.full(3, 5, np.float32)})
    assert found.host.keys() == found.handles.keys() == {"a"}
    call = made.with_given(found)
    assert call(torch.ones(3)).tolist() == [6.0] * 3
    other = made.with_given(given(made.executor, {"the.adapter": np.zeros(3, np.float32)}))
    assert other(torch.ones(3)).tolist() == [1.0] * 3
    assert call(np.ones(3, np.float32)).tolist() == [6.0] * 3


def test_a_program_is_made_once_for_each_form() -> None:
    all_adapters, made = Adapters(), []

    def compile() -> Compiled:
        made.append(adapted())
        return made[-1]

    for name, form in (("one", "f"), ("two", "f"), ("three", "g")):
        all_adapters.add(name, Bound(form, {"the.adapter": np.ones(3, np.float32)}), compile)
    assert len(made) == 2
    assert list(all_adapters.calls) == ["one", "two", "three"]
    before = all_adapters.calls
    all_adapters.remove("one")
    assert list(before) == ["one", "two", "three"]
    all_adapters.remove("two")
    assert all_adapters._programs.keys() == {"g"}


def test_alone_it_is_refused() -> None:
    with pytest.raises(ExecutionError, match="the program takes the tensors of an adapter"):
        compiled(with_adapter())
