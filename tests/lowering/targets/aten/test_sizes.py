"""Whether a program's types hold at small sizes, as torch's fake tensors tell."""

from __future__ import annotations

from lowering.ir.program import Program
from lowering.targets.aten.sizes import size_problem
from tests.runtime.fakes import N, node, program, tensor


def squeezed() -> Program:
    nodes = [node("aten.squeeze.dim", "y", self="%x", dim=0)]
    return program({"x": tensor(N, 3)}, nodes, ["%y"], {"y": tensor(N, 3)})


def first_rows() -> Program:
    nodes = [node("aten.slice.Tensor", "y", self="%x", dim=0, start=0, end=2)]
    return program({"x": tensor(N, 3)}, nodes, ["%y"], {"y": tensor(2, 3)})


def test_an_axis_of_one_goes() -> None:
    assert size_problem(squeezed(), {"s0": 2}) == ""
    assert size_problem(squeezed(), {"s0": 1}) == "y has sizes [3], the program says [1, 3]"


def test_fewer_rows_than_a_slice_takes() -> None:
    assert size_problem(first_rows(), {"s0": 2}) == ""
    assert size_problem(first_rows(), {"s0": 1}) == "y has sizes [1, 3], the program says [2, 3]"


def test_an_operator_that_may_refuse_a_tensor_of_nothing() -> None:
    nodes = [node("aten.amax.default", "y", self="%x", dim=(1,))]
    given = program({"x": tensor(N, 3)}, nodes, ["%y"], {"y": tensor(N)})
    assert size_problem(given, {"s0": 1}) == ""
    assert size_problem(given, {"s0": 0}) == "y reads x, which has no elements"
