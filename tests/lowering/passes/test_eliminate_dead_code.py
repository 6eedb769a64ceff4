"""What nothing uses goes; what does more than give a value stays."""

from __future__ import annotations

from dataclasses import replace

from expecttest import assert_expected_inline

from lowering.ir.symbols import Symbol
from lowering.ir.types import DType, TensorType
from lowering.passes.eliminate_dead_code import eliminate_dead_code
from tests.lowering.graphs import graph, node, program
from tests.lowering.passes.rewritten import rewritten


def test_a_chain_that_nothing_uses_goes() -> None:
    nodes = [
        node("dead", "aten.neg.default", self="%x"),
        node("deader", "aten.exp.default", self="%dead"),
        node("out", "aten.sin.default", self="%x"),
    ]
    found = rewritten(eliminate_dead_code(), program(["x"], nodes, ["%out"]))
    assert_expected_inline(
        found,
        """\
main(
  %x: f32[2, 3]  # user
) {
  %dead: f32[2, 3] = aten.neg.default(self=%x)
  %deader: f32[2, 3] = aten.exp.default(self=%dead)
  %out: f32[2, 3] = aten.sin.default(self=%x)
  return (
    %out
  )
}
=>
main(
  %x: f32[2, 3]  # user
) {
  %out: f32[2, 3] = aten.sin.default(self=%x)
  return (
    %out
  )
}
""",
    )


def test_a_written_copy_goes_and_a_write_stays() -> None:
    write = node("copy", "aten.add_.Tensor", self="%x", other=1)
    out = node("out", "aten.sin.default", self="%x")
    writing = program(["x"], [write, out], ["%out"])
    assert eliminate_dead_code().run(writing) is writing
    functional = program(["x"], [replace(write, functional=True), out], ["%out"])
    assert eliminate_dead_code().run(functional).graph.nodes == (out,)


def test_a_dtype_that_nothing_holds_goes() -> None:
    types = node("types", "aten.promote_types.default", type1=DType.INT64, type2=DType.INT32, outputs=())
    out = node("out", "aten.sin.default", self="%x")
    assert eliminate_dead_code().run(program(["x"], [types, out], ["%out"])).graph.nodes == (out,)


def test_inside_a_nested_graph_too() -> None:
    inner = [node("dead", "aten.neg.default", self="%row"), node("kept", "aten.sin.default", self="%row")]
    rows = graph(["row"], inner, ["%kept"], name="rows")
    nodes = [node("out", "higher_order.map_impl", rows, ("%x",), ())]
    found = rewritten(eliminate_dead_code(), program(["x"], nodes, ["%out"]))
    assert_expected_inline(
        found,
        """\
main(
  %x: f32[2, 3]  # user
) {
  %out: f32[2, 3] = higher_order.map_impl(@rows, [%x], [])
    rows(%row: f32[2, 3]) {
      %dead: f32[2, 3] = aten.neg.default(self=%row)
      %kept: f32[2, 3] = aten.sin.default(self=%row)
      return (%kept)
    }
  return (
    %out
  )
}
=>
main(
  %x: f32[2, 3]  # user
) {
  %out: f32[2, 3] = higher_order.map_impl(@rows, [%x], [])
    rows(%row: f32[2, 3]) {
      %kept: f32[2, 3] = aten.sin.default(self=%row)
      return (%kept)
    }
  return (
    %out
  )
}
""",
    )


def test_checks_draws_and_unknown_operators_stay() -> None:
    nodes = [
        node("check", "aten._assert_async.msg", self="%x", assert_msg="no", outputs=()),
        node("drawn", "aten.rand_like.default", self="%x"),
        node("mine", "my.op.default", "%x"),
        node("number", "_operator.add", 1, 2),
    ]
    given = program(["x"], nodes, ["%x"])
    made = eliminate_dead_code().run(given)
    assert [item.name for item in made.graph.nodes] == ["check", "drawn", "mine"]


def test_what_binds_a_size_stays() -> None:
    """Others may be of that size, which only this node tells."""
    found = TensorType(DType.INT64, (Symbol("u0"), 2), (2, 1))
    nodes = [node("where", "aten.nonzero.default", self="%x")]
    given = program(["x"], nodes[:1], ["%x"], {"where": found})
    assert eliminate_dead_code().run(given) is given
