"""A buffer that another method writes is an output of this program too, and so not a constant."""

from __future__ import annotations

import pytest
from expecttest import assert_expected_inline

from lowering.ir.program import Program
from lowering.passes.held_buffers import hold_buffers, written_buffers
from lowering.passes.pipelines import canonical
from lowering.stablehlo.entry import weight_names
from tests.lowering.graphs import node, program
from tests.lowering.passes.rewritten import rewritten


def reader() -> Program:
    nodes = [node("y", "aten.add.Tensor", self="%x", other="%rows")]
    return program(["x", "rows", "w"], nodes, ["%y"], buffers=("rows", "w"))


def test_the_buffer_comes_back_unchanged() -> None:
    found = rewritten(hold_buffers(("rows", "of_another_method")), reader())
    assert_expected_inline(
        found.partition("=>\n")[2],
        """\
main(
  %x: f32[2, 3]  # user
  %rows: f32[2, 3]  # buffer rows
  %w: f32[2, 3]  # buffer w
) {
  %y: f32[2, 3] = aten.add.Tensor(self=%x, other=%rows)
  return (
    %rows  # buffer_mutation rows
    %y
  )
}
""",
    )


def test_it_is_state_and_the_program_does_not_change_it() -> None:
    held = hold_buffers(("rows",)).run(reader())
    assert (weight_names(reader()), weight_names(held)) == ({"rows": "rows", "w": "w"}, {"w": "w"})
    assert written_buffers(held) == ()


def test_a_buffer_that_the_program_writes_stays_as_it_is() -> None:
    writes = [node("y", "aten.add_.Tensor", self="%rows", other="%x")]
    written = canonical().run(program(["x", "rows"], writes, ["%y"], buffers=("rows",)))
    assert written_buffers(written) == ("rows",)
    assert hold_buffers(("rows",)).run(written) == written


@pytest.mark.parametrize("names", [(), ("of_another_method",)])
def test_nothing_to_hold(names: tuple[str, ...]) -> None:
    subject = reader()
    assert hold_buffers(names).run(subject) == subject
