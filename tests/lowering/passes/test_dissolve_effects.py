"""Operators that tokens put in order become plain calls; a token that something else reads stays."""

from __future__ import annotations

from dataclasses import replace

from expecttest import assert_expected_inline

from lowering.ir.program import InputKind, InputSpec, Node, Operator, OutputKind, OutputSpec, Program, Ref
from lowering.ir.types import DType, contiguous
from lowering.passes.dissolve_effects import DISSOLVE_EFFECTS, dissolve_effects
from tests.lowering.graphs import f32, node, program
from tests.lowering.passes.rewritten import rewritten

CHECK = Operator("aten._assert_async.default")
TYPES = {"t": f32(0), "t1": f32(0), "t2": f32(0), "info": contiguous(DType.INT32, ())}
CHECKED = node("c", "higher_order.with_effects", "%t", CHECK, "%info", outputs=("t1", None))
DOUBLED = node(
    "twice", "higher_order.with_effects", "%t1", Operator("aten.mul.Tensor"), "%x", 2, outputs=("t2", "y")
)


def with_token(nodes: list[Node], returns: str) -> Program:
    """A program of a token, a matrix and an integer, whose first result is the last token."""
    made = program(["t", "x", "info"], nodes, [returns, "%y"], TYPES)
    inputs = (InputSpec(InputKind.TOKEN, "t"), *made.signature.inputs[1:])
    outputs = (OutputSpec(OutputKind.TOKEN, Ref(returns[1:])), *made.signature.outputs[1:])
    # Callers neither give nor get a token.
    called = program(["x", "info"], [], ["%x"]).signature
    return replace(made, signature=replace(called, inputs=inputs, outputs=outputs))


def test_calls_keep_their_order_and_arguments_get_names() -> None:
    assert_expected_inline(
        rewritten(DISSOLVE_EFFECTS, with_token([CHECKED, DOUBLED], "%t2")),
        """\
main(
  %t: f32[0]  # token
  %x: f32[2, 3]  # user
  %info: i32[]  # user
) {
  %t1: f32[0], none = higher_order.with_effects(%t, aten._assert_async.default, %info)  # node c
  %t2: f32[0], %y: f32[2, 3] = higher_order.with_effects(%t1, aten.mul.Tensor, %x, 2)  # node twice
  return (
    %t2  # token
    %y
  )
}
=>
main(
  %x: f32[2, 3]  # user
  %info: i32[]  # user
) {
  aten._assert_async.default(self=%info)  # node c
  %y: f32[2, 3] = aten.mul.Tensor(self=%x, other=2)  # node twice
  return (
    %y
  )
}
""",
    )


def test_a_program_without_tokens_stays() -> None:
    given = program(["x"], [node("y", "aten.relu.default", self="%x")], ["%y"])
    assert dissolve_effects(given) is given


def test_a_token_that_something_else_reads_stays() -> None:
    read = node("y", "aten.sum.default", self="%t1")
    given = with_token([CHECKED, read], "%t1")
    assert dissolve_effects(given) is given


def test_more_arguments_than_an_operator_has_are_left_to_what_refuses_them() -> None:
    many = node("check", "higher_order.with_effects", "%t", CHECK, *["%x"] * 5, outputs=("t1", None))
    made = dissolve_effects(with_token([many, DOUBLED], "%t2"))
    assert [argument.name for argument in made.graph.nodes[0].args] == [""] * 5
