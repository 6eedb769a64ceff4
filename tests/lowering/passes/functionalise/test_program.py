"""Writes as values, and the outputs of the program that they become."""

from __future__ import annotations

from expecttest import assert_expected_inline

from lowering.passes.functionalise import functionalise
from tests.lowering.graphs import f32, node, program
from tests.lowering.passes.rewritten import rewritten


def test_a_write_through_a_view_of_a_buffer() -> None:
    nodes = [
        node("row", "aten.select.int", self="%state", dim=0, index=1),
        node("added", "aten.add_.Tensor", self="%row", other="%x"),
        node("out", "aten.neg.default", self="%state"),
    ]
    types = dict.fromkeys(("row", "added", "x"), f32(3)) | {"row": f32(3)}
    given = program(["state", "x"], nodes, ["%out"], types, buffers=("state",))
    assert_expected_inline(
        rewritten(functionalise(), given),
        """\
main(
  %state: f32[2, 3]  # buffer state
  %x: f32[3]  # user
) {
  %row: f32[3] = aten.select.int(self=%state, dim=0, index=1)
  %added: f32[3] = aten.add_.Tensor(self=%row, other=%x)
  %out: f32[2, 3] = aten.neg.default(self=%state)
  return (
    %out
  )
}
=>
main(
  %state: f32[2, 3]  # buffer state
  %x: f32[3]  # user
) {
  %row: f32[3] = aten.select.int(self=%state, dim=0, index=1)
  %added: f32[3] = aten.add_.Tensor [functional](self=%row, other=%x)
  %select_scatter_1: f32[2, 3] = aten.select_scatter.default(self=%state, src=%added, dim=0, index=1)
  %out: f32[2, 3] = aten.neg.default(self=%select_scatter_1)
  return (
    %select_scatter_1  # buffer_mutation state
    %out
  )
}
""",
    )


def test_a_write_to_an_input() -> None:
    nodes = [
        node("scaled", "aten.mul_.Tensor", self="%x", other=2),
        node("out", "aten.sin.default", self="%scaled"),
    ]
    assert_expected_inline(
        rewritten(functionalise(), program(["x"], nodes, ["%out"])),
        """\
main(
  %x: f32[2, 3]  # user
) {
  %scaled: f32[2, 3] = aten.mul_.Tensor(self=%x, other=2)
  %out: f32[2, 3] = aten.sin.default(self=%scaled)
  return (
    %out
  )
}
=>
main(
  %x: f32[2, 3]  # user
) {
  %scaled: f32[2, 3] = aten.mul_.Tensor [functional](self=%x, other=2)
  %out: f32[2, 3] = aten.sin.default(self=%scaled)
  return (
    %scaled  # input_mutation x
    %out
  )
}
""",
    )
