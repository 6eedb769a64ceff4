"""Writes by a mask become choices; what depends on how many elements the mask picks stays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from expecttest import assert_expected_inline

from lowering.ir.program import Node
from lowering.ir.symbols import Apply, Symbol
from lowering.ir.types import DType, SymKind, SymType, TensorType, ValueType, contiguous
from lowering.passes.masked_writes import MASKED_WRITES
from tests.lowering.graphs import f32, graph, node, program
from tests.lowering.passes.rewritten import rewritten

U0 = Symbol("u0")
MASK = contiguous(DType.BOOL, (2, 3))
PICKED = TensorType(DType.FLOAT32, (U0,), (1,))


def count(name: str, op: str, end: int) -> list[Node]:
    """A comparison of the number of picked elements, and its assertion."""
    assertion = node(
        f"assert_{name}", "aten._assert_scalar.default", self=f"%{name}", assert_msg="no", outputs=()
    )
    return [node(name, f"_operator.{op}", a="%size", b=end), assertion]


TYPES: dict[str, ValueType] = {
    "m": MASK,
    "picked": PICKED,
    "scaled": PICKED,
    "size": SymType(SymKind.INT, U0),
    "ge": SymType(SymKind.BOOL, Apply("GreaterThan", (U0, 0))),
    "le": SymType(SymKind.BOOL, Apply("LessThan", (U0, 6))),
    "few": SymType(SymKind.BOOL, Apply("LessThan", (U0, 5))),
}
PICK = node("picked", "aten.index.Tensor", self="%x", indices=("%m",))
SIZE = node("size", "aten.sym_size.int", self="%picked", dim=0)
SCALE = replace(node("scaled", "aten.mul_.Tensor", self="%picked", other=2), functional=True)
WRITE = node("y", "aten.index_put.default", self="%x", indices=("%m",), values="%scaled")


def test_scaled_elements_are_chosen() -> None:
    nodes = [PICK, SIZE, *count("ge", "ge", 0), *count("le", "le", 6), SCALE, WRITE]
    found = rewritten(MASKED_WRITES, program(["x", "m"], nodes, ["%y"], TYPES))
    assert_expected_inline(
        found,
        """\
main(
  %x: f32[2, 3]  # user
  %m: bool[2, 3]  # user
) {
  %picked: f32[u0] = aten.index.Tensor(self=%x, indices=[%m])
  %size: int(u0) = aten.sym_size.int(self=%picked, dim=0)
  %ge: bool(u0 >= 0) = _operator.ge(a=%size, b=0)
  aten._assert_scalar.default(self=%ge, assert_msg='no')  # node assert_ge
  %le: bool(u0 <= 6) = _operator.le(a=%size, b=6)
  aten._assert_scalar.default(self=%le, assert_msg='no')  # node assert_le
  %scaled: f32[u0] = aten.mul_.Tensor [functional](self=%picked, other=2)
  %y: f32[2, 3] = aten.index_put.default(self=%x, indices=[%m], values=%scaled)
  return (
    %y
  )
}
=>
main(
  %x: f32[2, 3]  # user
  %m: bool[2, 3]  # user
) {
  %scaled: f32[2, 3] = aten.mul_.Tensor [functional](self=%x, other=2)
  %y: f32[2, 3] = aten.where.self(condition=%m, self=%scaled, other=%x)
  return (
    %y
  )
}
""",
    )


def test_rows_that_a_mask_picks() -> None:
    """The mask gets axes for those behind it; what lies along these broadcasts to each row alike."""
    rows = TensorType(DType.FLOAT32, (U0, 3), (3, 1))
    types = TYPES | {"m": contiguous(DType.BOOL, (2,)), "picked": rows, "scaled": rows, "w": f32(3)}
    scale = node("scaled", "aten.mul.Tensor", self="%picked", other="%w")
    found = rewritten(MASKED_WRITES, program(["x", "m", "w"], [PICK, scale, WRITE], ["%y"], types))
    assert_expected_inline(
        found.partition("=>\n")[2],
        """\
main(
  %x: f32[2, 3]  # user
  %m: bool[2]  # user
  %w: f32[3]  # user
) {
  %scaled: f32[2, 3] = aten.mul.Tensor(self=%x, other=%w)
  %unsqueeze_1: bool[2, 1] = aten.unsqueeze.default(self=%m, dim=-1)
  %y: f32[2, 3] = aten.where.self(condition=%unsqueeze_1, self=%scaled, other=%x)
  return (
    %y
  )
}
""",
    )


def changed(node_: Node, **arguments: Any) -> Node:
    others = node("", "", **arguments).args
    named = {argument.name for argument in others}
    return replace(node_, args=(*(a for a in node_.args if a.name not in named), *others))


@pytest.mark.parametrize(
    "nodes",
    [
        # The number itself is asserted to be another than it may be.
        [PICK, SIZE, *count("few", "le", 5), SCALE, WRITE],
        # It is an operand, and a size.
        [PICK, SIZE, changed(SCALE, other="%size"), WRITE],
        [PICK, SIZE, SCALE, WRITE, node("also", "aten.zeros.default", size=("%size",))],
        # Sums depend on it, and each element on the others.
        [PICK, node("sum", "aten.sum.default", self="%picked"), SCALE, WRITE],
        # Another mask, a sum of the values, and another element type.
        [PICK, SCALE, changed(WRITE, indices=("%n",))],
        [PICK, SCALE, changed(WRITE, accumulate=True)],
        [PICK, SCALE, changed(WRITE, self="%half")],
        # A vector has an element for each one picked.
        [PICK, changed(SCALE, other="%v"), WRITE],
        # Random numbers are drawn for the picked alone.
        [PICK, node("scaled", "aten.bernoulli.default", self="%picked"), WRITE],
    ],
)
def test_what_depends_on_the_picked_alone_stays(nodes: list[Node]) -> None:
    types = TYPES | {"n": MASK, "half": contiguous(DType.FLOAT16, (2, 3)), "v": PICKED, "also": PICKED}
    given = program(["x", "m", "n", "half", "v"], nodes, ["%y"], types)
    assert MASKED_WRITES.run(given) is given


def test_picked_elements_that_are_returned_stay() -> None:
    for output in ("%picked", "%scaled", "%size"):
        given = program(["x", "m"], [PICK, SIZE, SCALE, WRITE], ["%y", output], TYPES)
        assert MASKED_WRITES.run(given) is given


def test_quotients_of_integers_stay() -> None:
    """Eager raises at a divisor of 0, which the mask may leave out."""
    whole = TensorType(DType.INT64, (U0,), (1,))
    types = TYPES | {"x": contiguous(DType.INT64, (2, 3)), "picked": whole, "scaled": whole}
    divided = node("scaled", "aten.floor_divide.default", self="%picked", other=2)
    given = program(
        ["x", "m"], [PICK, divided, WRITE], ["%y"], types | {"y": contiguous(DType.INT64, (2, 3))}
    )
    assert MASKED_WRITES.run(given) is given


def test_inside_a_nested_graph_too() -> None:
    inner = graph(["x", "m"], [PICK, SCALE, WRITE], ["%y"], TYPES, name="inner")
    outer = node("z", "higher_order.invoke_subgraph", inner, "id", "%x", "%m")
    made = MASKED_WRITES.run(program(["x", "m"], [outer], ["%z"], {"m": MASK}))
    assert "aten.where.self" in str(made)
    assert "aten.index" not in str(made)
