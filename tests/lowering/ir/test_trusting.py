"""Calls that trust their arguments: refused where a file makes them, and nowhere else."""

from __future__ import annotations

from lowering.ir.trusting import trusting_calls
from lowering.ir.types import DType, contiguous
from tests.lowering.graphs import graph, node, program

TYPES = {
    "x": contiguous(DType.FLOAT32, (1, 1, 4, 4)),
    "p": contiguous(DType.FLOAT32, (1, 1, 2, 2)),
    "i": contiguous(DType.INT64, (1, 1, 2, 2)),
    "j": contiguous(DType.INT64, (1, 1, 2, 2)),
    "y": contiguous(DType.FLOAT32, (1, 1, 4, 4)),
}
POOLED = node("p", "aten.adaptive_max_pool2d.default", outputs=("p", "i"), self="%x", output_size=(2, 2))


def backward(indices: str):
    target = "aten.adaptive_max_pool2d_backward.default"
    return node("y", target, grad_output="%p", self="%x", indices=indices, line=3)


def test_positions_from_outside_are_refused_whatever_is_done_to_them() -> None:
    given = program(["x", "p", "i"], [backward("%i")], ["%y"], TYPES)
    assert list(trusting_calls(given)) == [
        "node y (model.py:3): a file may not call aten.adaptive_max_pool2d_backward.default with indices "
        "from outside the program, which ATen does not check: export the forward and the backward pass as "
        "one program"
    ]
    made = node("j", "aten.abs.default", self="%i")
    assert list(trusting_calls(program(["x", "p", "i"], [made, backward("%j")], ["%y"], TYPES)))


def test_positions_that_a_pooling_made_are_not() -> None:
    assert not list(trusting_calls(program(["x"], [POOLED, backward("%i")], ["%y"], TYPES)))


def test_a_call_without_checks_is_refused() -> None:
    for unsafe, refused in ((True, 1), (False, 0)):
        reduced = node(
            "y", "aten.segment_reduce.default", data="%x", reduce="sum", lengths="%i", unsafe=unsafe
        )
        assert len(list(trusting_calls(program(["x", "i"], [reduced], ["%y"], TYPES)))) == refused


def test_positions_from_outside_a_branch_are_refused() -> None:
    inner = graph(["x", "p", "i"], [backward("%i")], ["%y"], TYPES, "branch")
    taken = node("y", "higher_order.cond", "%c", inner, inner, ("%x", "%p", "%i"))
    given = program(["c", "x", "p", "i"], [taken], ["%y"], TYPES)
    assert len(found := list(trusting_calls(given))) == 2
    assert "indices from outside the graph branch" in found[0]


def test_positions_that_a_branch_made_are_not() -> None:
    inner = graph(["x"], [POOLED], ["%p", "%i"], TYPES, "branch")
    taken = node("t", "higher_order.cond", "%c", inner, inner, ("%x",), outputs=("p", "i"))
    assert not list(trusting_calls(program(["c", "x"], [taken, backward("%i")], ["%y"], TYPES)))


def test_a_call_that_does_not_end_is_refused() -> None:
    for n, refused in ((-(1 << 63), 1), (-3, 0)):
        power = node("y", "aten.matrix_power.default", self="%x", n=n)
        assert len(list(trusting_calls(program(["x"], [power], ["%y"], TYPES)))) == refused
