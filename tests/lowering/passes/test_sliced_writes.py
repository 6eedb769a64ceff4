"""Writes to a slice that begins at a number from the data become windows of a known length."""

from __future__ import annotations

from dataclasses import replace

import pytest
from expecttest import assert_expected_inline

from lowering.ir.program import Node
from lowering.ir.symbols import Apply, Symbol
from lowering.ir.types import DType, SymKind, SymType, TensorType, ValueType, contiguous
from lowering.passes.sliced_writes import SLICED_WRITES
from tests.lowering.graphs import f32, node, program
from tests.lowering.passes.rewritten import rewritten

U0, U1, U2 = map(Symbol, ("u0", "u1", "u2"))
PART = TensorType(DType.FLOAT32, (2, U1), (3, 1), U2)
TYPES: dict[str, ValueType] = {
    "p": contiguous(DType.INT64, ()),
    "start": SymType(SymKind.INT, U0),
    "end": SymType(SymKind.INT, Apply("Add", (U0, 2))),
    "far": SymType(SymKind.INT, Apply("Mul", (U0, 2))),
    "part": PART,
    "spread": PART,
    "copied": replace(PART, strides=(U1, 1), offset=0),
    "size": SymType(SymKind.INT, U1),
    "ge": SymType(SymKind.BOOL, Apply("GreaterThan", (U1, 0))),
    "row": f32(1),
    "three": f32(3),
}
START = node("start", "aten.item.default", self="%p")
END = node("end", "_operator.add", a="%start", b=2)
PART_OF = node("part", "aten.slice.Tensor", self="%x", dim=1, start="%start", end="%end")
SIZE = node("size", "aten.sym_size.int", self="%part", dim=1)
SPREAD = node("spread", "aten.expand.default", self="%row", size=(2, "%size"))
COPY = replace(node("copied", "aten.copy_.default", self="%part", src="%spread"), functional=True)
WRITE = node(
    "y", "aten.slice_scatter.default", self="%x", src="%copied", dim=1, start="%start", end="%end", step=1
)
FROM_0 = replace(WRITE, args=tuple(a._replace(value=0) if a.name == "start" else a for a in WRITE.args))
ALL = [START, END, PART_OF, SIZE, SPREAD, COPY, WRITE]


def test_a_window_of_two() -> None:
    checks = [
        node("ge", "_operator.ge", a="%size", b=0),
        node("assert", "aten._assert_scalar.default", self="%ge", assert_msg="no", outputs=()),
    ]
    nodes = [START, END, PART_OF, SIZE, *checks, SPREAD, COPY, WRITE]
    found = rewritten(SLICED_WRITES, program(["x", "p", "row"], nodes, ["%y"], TYPES))
    assert_expected_inline(
        found,
        """\
main(
  %x: f32[2, 3]  # user
  %p: i64[]  # user
  %row: f32[1]  # user
) {
  %start: int(u0) = aten.item.default(self=%p)
  %end: int(u0 + 2) = _operator.add(a=%start, b=2)
  %part: f32[2, u1; strides 3, 1; offset u2] = aten.slice.Tensor(self=%x, dim=1, start=%start, end=%end)
  %size: int(u1) = aten.sym_size.int(self=%part, dim=1)
  %ge: bool(u1 >= 0) = _operator.ge(a=%size, b=0)
  aten._assert_scalar.default(self=%ge, assert_msg='no')  # node assert
  %spread: f32[2, u1; strides 3, 1; offset u2] = aten.expand.default(self=%row, size=[2, %size])
  %copied: f32[2, u1] = aten.copy_.default [functional](self=%part, src=%spread)
  %y: f32[2, 3] = aten.slice_scatter.default(self=%x, src=%copied, dim=1, start=%start, end=%end, step=1)
  return (
    %y
  )
}
=>
main(
  %x: f32[2, 3]  # user
  %p: i64[]  # user
  %row: f32[1]  # user
) {
  %start: int(u0) = aten.item.default(self=%p)
  %end: int(u0 + 2) = _operator.add(a=%start, b=2)
  %add_1: int(u0 + 3) = _operator.add(a=%start, b=3)
  %lt_1: bool(u0 < 0) = _operator.lt(a=%start, b=0)
  %sym_ite_1: int(Piecewise(u0 + 3, u0 < 0, u0, True)) = torch.sym_ite(b=%lt_1, t=%add_1, f=%start)
  %add_2: int((u0 + 2) + 3) = _operator.add(a=%end, b=3)
  %lt_2: bool(u0 + 2 < 0) = _operator.lt(a=%end, b=0)
  %sym_ite_2: int(Piecewise((u0 + 2) + 3, u0 + 2 < 0, u0 + 2, True)) = torch.sym_ite(b=%lt_2, t=%add_2, f=%end)
  %sym_min_1: int(Min(Piecewise(u0 + 3, u0 < 0, u0, True), 1)) = torch.sym_min(a=%sym_ite_1, b=1)
  %sym_max_1: int(Max(Min(Piecewise(u0 + 3, u0 < 0, u0, True), 1), 0)) = torch.sym_max(a=%sym_min_1, b=0)
  %narrow_1: f32[2, 2; strides 3, 1] = aten.narrow.default(self=%x, dim=1, start=%sym_max_1, length=2)
  %arange_1: i64[2] = aten.arange.default(end=2)
  %add_3: i64[2] = aten.add.Tensor(self=%arange_1, other=%sym_max_1)
  %ge_1: bool[2] = aten.ge.Scalar(self=%add_3, other=%sym_ite_1)
  %lt_3: bool[2] = aten.lt.Scalar(self=%add_3, other=%sym_ite_2)
  %logical_and_1: bool[2] = aten.logical_and.default(self=%ge_1, other=%lt_3)
  %view_1: bool[2] = aten.view.default(self=%logical_and_1, size=[2])
  %where_1: f32[2, 2] = aten.where.self(condition=%view_1, self=%row, other=%narrow_1)
  %add_4: int(Max(Min(Piecewise(u0 + 3, u0 < 0, u0, True), 1), 0) + 2) = _operator.add(a=%sym_max_1, b=2)
  %y: f32[2, 3] = aten.slice_scatter.default(self=%x, src=%where_1, dim=1, start=%sym_max_1, end=%add_4, step=1)
  return (
    %y
  )
}
""",  # noqa: E501 - a node is a line, as the IR prints it
    )


def swapped(old: Node, new: Node) -> list[Node]:
    return [new if item is old else item for item in ALL]


@pytest.mark.parametrize(
    "nodes",
    [
        # The length is not known; another slice is written; in steps.
        swapped(END, node("end", "_operator.mul", a="%start", b=2)),
        swapped(WRITE, FROM_0),
        [replace(n, args=(*n.args, *node("", "", step=2).args)) if n is PART_OF else n for n in ALL],
        # The slice is read too, and its length.
        [*ALL, node("also", "aten.sum.default", self="%part")],
        [*ALL, node("also", "aten.zeros.default", size=("%size",))],
        # The value has an element for each place.
        swapped(SPREAD, node("spread", "aten.expand.default", self="%three", size=(2, "%size"))),
    ],
)  # fmt: skip
def test_other_writes_stay(nodes: list[Node]) -> None:
    types = TYPES | {"also": f32()}
    if nodes[1] is not END:
        types["end"] = types["far"]
    given = program(["x", "p", "row", "three"], nodes, ["%y"], types)
    assert SLICED_WRITES.run(given) is given


def test_a_length_that_is_returned_stays() -> None:
    for output in ("%size", "%part", "%copied"):
        given = program(["x", "p", "row"], ALL, ["%y", output], TYPES)
        assert SLICED_WRITES.run(given) is given


def test_a_row_of_another_type_is_cast() -> None:
    half = contiguous(DType.FLOAT16, (1,))
    types = TYPES | {"row": half, "spread": replace(PART, dtype=DType.FLOAT16)}
    made = SLICED_WRITES.run(program(["x", "p", "row"], ALL, ["%y"], types))
    assert ": f32[1] = aten._to_copy.default(self=%row, dtype=f32)" in str(made)
