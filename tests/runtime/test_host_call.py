"""Values on their way to the host and from it: strides, views of buffers, handles that are out of date."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lowering.ir.plan import Placement
from lowering.ir.symbols import Apply, Symbol
from lowering.ir.types import DType, SymKind, SymType, TensorType
from lowering.targets.errors import ExecutionError
from runtime.frame import Frame
from tests.runtime.fakes import compiled, node, program, tensor, weights

HLO, ATEN = Placement.STABLEHLO, Placement.ATEN
T3 = tensor(3)
N3 = np.arange(3, dtype=np.float32)


def test_a_node_that_sees_memory_finds_the_strides_of_the_type() -> None:
    """The engine's result is dense; the exporter saw its columns side by side."""
    columns = TensorType(DType.FLOAT32, (2, 3), (1, 2))
    nodes = [
        node("aten.mul.Scalar", "a", self="%x", other=2),
        node("aten.as_strided.default", "y", self="%a", size=(6,), stride=(1,)),
    ]
    p = program({"x": tensor(2, 3)}, nodes, ["%y"], {"a": columns, "y": tensor(6)})
    f, _ = compiled(p, (HLO, ["a"]), (ATEN, ["y"]))
    x = torch.arange(6.0).reshape(2, 3)
    assert f(x).tolist() == (x * 2).t().reshape(-1).tolist()


def test_a_view_of_a_buffer_that_another_segment_overwrites_is_copied() -> None:
    nodes = [
        node("aten.view.default", "seen", self="%b_n", size=(3,)),
        node("aten.add.Tensor", "new", self="%b_n", other="%x"),
    ]
    types = {"seen": T3, "new": T3}
    p = program({"x": T3}, nodes, ["%seen"], types, buffers={"n": T3}, writes={"n": "new"})
    f, _ = compiled(p, (ATEN, ["seen"]), (ATEN, ["new"]), weights=weights(n=N3))
    first = f(torch.ones(3))
    assert first.tolist() == N3.tolist()
    assert f(torch.ones(3)).tolist() == (N3 + 1).tolist()
    assert first.tolist() == N3.tolist()


def test_arrays_that_torch_cannot_view_are_copied() -> None:
    p = program({"x": T3}, [node("aten.neg.default", "y", self="%x")], ["%y"], {"y": T3})
    f, _ = compiled(p, (ATEN, ["y"]))
    np.testing.assert_array_equal(f(N3[::-1]), -N3[::-1])


def test_a_handle_of_an_old_value_goes_when_the_host_makes_a_new_one() -> None:
    p = program({"x": T3}, [node("aten.neg.default", "y", self="%x")], ["%y"], {"y": T3})
    f, _ = compiled(p, (ATEN, ["y"]))
    (step,) = f.executor.loaded.steps
    frame = Frame({"x": torch.ones(3)}, {"y": N3}, {}, {}, [])
    step.call(frame)
    assert frame.host["y"].tolist() == [-1, -1, -1]
    assert frame.handles == {}


def test_a_number_of_another_segment_gives_its_symbol_a_value() -> None:
    """An assertion that fails on the host names the number."""
    u0 = Symbol("u0")
    types = {
        "p": TensorType(DType.INT64, (), ()),
        "n": SymType(SymKind.INT, u0),
        "le": SymType(SymKind.BOOL, Apply("LessThan", (u0, 4))),
        "y": T3,
    }
    text = "Runtime assertion failed for expression u0 <= 4 on node 'le'"
    check = node("aten._assert_scalar.default", (), self="%le", assert_msg=text)
    nodes = [
        node("aten.item.default", "n", self="%p"),
        node("_operator.le", "le", a="%n", b=4),
        check,
        node("aten.mul.Tensor", "y", self="%x", other="%n"),
    ]
    p = program({"x": T3, "p": types["p"]}, nodes, ["%y"], types)
    f, _ = compiled(p, (HLO, ["n"]), (ATEN, ["le", check.name, "y"]))
    assert f(torch.ones(3), torch.tensor(4)).tolist() == [4, 4, 4]
    with pytest.raises(ExecutionError, match="the program takes n <= 4, but n is 5"):
        f(torch.ones(3), torch.tensor(5))
