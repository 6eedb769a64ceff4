"""Maps of elementwise graphs run on all rows at once; the others stay."""

from __future__ import annotations

import pytest
from expecttest import assert_expected_inline

from lowering.ir.program import Node, Program
from lowering.ir.types import DType, contiguous
from lowering.passes.batch_maps import BATCH_MAPS
from tests.lowering.graphs import f32, graph, node, program
from tests.lowering.passes.rewritten import rewritten

TYPES = {"x": f32(4, 3), "y": f32(2, 3), "row": f32(3), "shift": f32(2, 3), "a": f32(3)}


def mapped(*nodes: Node) -> Program:
    """A map over the rows of x, 4x3, beside y, 2x3; the last node gives the result, 2x3 for each row."""
    rows = graph(["row", "shift"], nodes, [f"%{nodes[-1].name}"], TYPES, "rows")
    outer = [node("out", "higher_order.map_impl", rows, ("%x",), ("%y",))]
    return program(["x", "y"], outer, ["%out"], {**TYPES, "out": f32(4, 2, 3)})


def test_rows_of_fewer_axes_get_axes_of_size_1() -> None:
    given = mapped(
        node("a", "aten.sin.default", self="%row"),
        node("b", "aten.mul.Tensor", self="%a", other="%shift"),
    )
    assert_expected_inline(
        rewritten(BATCH_MAPS, given),
        """\
main(
  %x: f32[4, 3]  # user
  %y: f32[2, 3]  # user
) {
  %out: f32[4, 2, 3] = higher_order.map_impl(@rows, [%x], [%y])
    rows(%row: f32[3], %shift: f32[2, 3]) {
      %a: f32[3] = aten.sin.default(self=%row)
      %b: f32[2, 3] = aten.mul.Tensor(self=%a, other=%shift)
      return (%b)
    }
  return (
    %out
  )
}
=>
main(
  %x: f32[4, 3]  # user
  %y: f32[2, 3]  # user
) {
  %a_1: f32[4, 3] = aten.sin.default(self=%x)
  %unsqueeze_1: f32[4, 1, 3; strides 3, 1, 1] = aten.unsqueeze.default(self=%a_1, dim=1)
  %b_1: f32[4, 2, 3] = aten.mul.Tensor(self=%unsqueeze_1, other=%y)
  return (
    %b_1
  )
}
""",
    )


@pytest.mark.parametrize(
    "inner",
    [
        node("b", "aten.cumsum.default", self="%shift", dim=0),
        node("b", "aten.bernoulli.p", self="%shift", p=0.5),
        node("b", "aten.add_.Tensor", self="%shift", other="%row"),
    ],
    ids=lambda item: item.target,
)
def test_a_graph_that_does_not_work_element_by_element_stays(inner: Node) -> None:
    given = mapped(inner)
    assert BATCH_MAPS.run(given) is given


def test_operands_of_two_dtypes_stay() -> None:
    """A tensor without axes does not decide the dtype of a product, and with an axis it does."""
    types = {"x": f32(4), "row": f32(), "out": f32(4, 2), "y": contiguous(DType.FLOAT16, (2,))}
    types |= {"shift": types["y"], "b": contiguous(DType.FLOAT16, (2,))}
    inner = [node("b", "aten.mul.Tensor", self="%row", other="%shift")]
    rows = graph(["row", "shift"], inner, ["%b"], types, "rows")
    given = program(
        ["x", "y"], [node("out", "higher_order.map_impl", rows, ("%x",), ("%y",))], ["%out"], types
    )
    assert BATCH_MAPS.run(given) is given


def test_a_row_that_is_returned_is_a_copy() -> None:
    rows = graph(["row"], [], ["%row"], TYPES, "rows")
    nodes = [node("out", "higher_order.map_impl", rows, ("%x",), ())]
    made = BATCH_MAPS.run(program(["x"], nodes, ["%out"], {**TYPES, "out": f32(4, 3)}))
    (copy,) = made.graph.nodes
    assert (copy.target, [ref.name for ref in made.graph.outputs]) == ("aten.clone.default", [copy.name])
