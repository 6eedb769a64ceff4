"""Slices between ends from the data that are written back become choices; others stay slices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from expecttest import assert_expected_inline

from lowering.ir.program import Node
from lowering.ir.symbols import Apply, Dim, Symbol
from lowering.ir.types import DType, SymKind, SymType, TensorType, ValueType, contiguous
from lowering.passes.masked_writes import MASKED_WRITES
from tests.lowering.graphs import f32, node, program
from tests.lowering.passes.rewritten import rewritten

P, Q, U0, U1 = map(Symbol, ("u8", "u9", "u0", "u1"))


def rows(count: Dim, dtype: DType = DType.FLOAT32) -> TensorType:
    return TensorType(dtype, (count, 3), (3, 1))


TYPES: dict[str, ValueType] = {
    "x": f32(4, 3), "at": contiguous(DType.INT64, ()), "to": contiguous(DType.INT64, ()), "w": f32(3),
    "p": SymType(SymKind.INT, P), "q": SymType(SymKind.INT, Q),
    "part": rows(U0), "scaled": rows(U0), "again": rows(U1), "spread": rows(U1), "copied": rows(U1),
    "size": SymType(SymKind.INT, U0), "other": SymType(SymKind.INT, U1),
    "equal": SymType(SymKind.BOOL, Apply("Equality", (U0, U1))), "y": f32(4, 3),
}  # fmt: skip
ENDS = [node("p", "aten.item.default", self="%at"), node("q", "aten.item.default", self="%to")]
SLICE = node("part", "aten.slice.Tensor", self="%x", dim=0, start="%p", end="%q")
SCALE = node("scaled", "aten.mul.Tensor", self="%part", other="%w")
WRITE = node("y", "aten.slice_scatter.default", self="%x", src="%scaled", dim=0, start="%p", end="%q", step=1)


def test_a_scaled_slice_is_chosen_between_its_ends() -> None:
    """As `x[p:q] *= w` is exported, which copies the product to another slice of the same elements."""
    nodes = [
        *ENDS,
        SLICE,
        node("size", "aten.sym_size.int", self="%part", dim=0),
        SCALE,
        node("again", "aten.slice.Tensor", self="%x", dim=-2, start="%p", end="%q"),
        node("other", "aten.sym_size.int", self="%again", dim=0),
        node("equal", "_operator.eq", a="%size", b="%other"),
        node("assert", "aten._assert_scalar.default", self="%equal", assert_msg="no", outputs=()),
        node("spread", "aten.expand.default", self="%scaled", size=("%other", 3)),
        replace(node("copied", "aten.copy_.default", self="%again", src="%spread"), functional=True),
        replace(WRITE, args=(*WRITE.args[:1], *node("", "", src="%copied").args, *WRITE.args[2:])),
    ]
    found = rewritten(MASKED_WRITES, program(["x", "at", "to", "w"], nodes, ["%y"], TYPES))
    assert_expected_inline(
        found.partition("=>\n")[2],
        """\
main(
  %x: f32[4, 3]  # user
  %at: i64[]  # user
  %to: i64[]  # user
  %w: f32[3]  # user
) {
  %p: int(u8) = aten.item.default(self=%at)
  %q: int(u9) = aten.item.default(self=%to)
  %scaled: f32[4, 3] = aten.mul.Tensor(self=%x, other=%w)
  %copied: f32[4, 3] = aten.copy_.default [functional](self=%x, src=%scaled)
  %add_1: int(u8 + 4) = _operator.add(a=%p, b=4)
  %lt_1: bool(u8 < 0) = _operator.lt(a=%p, b=0)
  %sym_ite_1: int(Piecewise(u8 + 4, u8 < 0, u8, True)) = torch.sym_ite(b=%lt_1, t=%add_1, f=%p)
  %add_2: int(u9 + 4) = _operator.add(a=%q, b=4)
  %lt_2: bool(u9 < 0) = _operator.lt(a=%q, b=0)
  %sym_ite_2: int(Piecewise(u9 + 4, u9 < 0, u9, True)) = torch.sym_ite(b=%lt_2, t=%add_2, f=%q)
  %arange_1: i64[4] = aten.arange.default(end=4)
  %ge_1: bool[4] = aten.ge.Scalar(self=%arange_1, other=%sym_ite_1)
  %lt_3: bool[4] = aten.lt.Scalar(self=%arange_1, other=%sym_ite_2)
  %logical_and_1: bool[4] = aten.logical_and.default(self=%ge_1, other=%lt_3)
  %view_1: bool[4, 1] = aten.view.default(self=%logical_and_1, size=[4, 1])
  %y: f32[4, 3] = aten.where.self(condition=%view_1, self=%copied, other=%x)
  return (
    %y
  )
}
""",
    )


def test_the_length_may_be_a_number_that_others_read() -> None:
    """Where the exporter knows that 0 <= p <= 4, the length of `x[:p]` is p itself."""
    types = TYPES | {"part": rows(P), "scaled": rows(P), "z": f32(4, 3)}
    slice_ = node("part", "aten.slice.Tensor", self="%x", dim=0, start=None, end="%p")
    write = node(
        "y", "aten.slice_scatter.default", self="%x", src="%scaled", dim=0, start=0, end="%p", step=1
    )
    scale = node("scaled", "aten.mul.Tensor", self="%part", other=2)
    read = node("z", "aten.mul.Tensor", self="%y", other="%p")
    made = MASKED_WRITES.run(program(["x", "at"], [ENDS[0], slice_, scale, write, read], ["%z"], types))
    assert "aten.where.self" in str(made)
    assert "aten.slice" not in str(made)


def changed(node_: Node, **arguments: Any) -> Node:
    others = node("", "", **arguments).args
    named = {argument.name for argument in others}
    return replace(node_, args=(*(a for a in node_.args if a.name not in named), *others))


@pytest.mark.parametrize(
    "nodes",
    [
        # A sum depends on how many there are.
        [SLICE, node("sum", "aten.sum.default", self="%part"), SCALE, WRITE],
        # Rows of a matrix are not the same for each row of the slice.
        [SLICE, changed(SCALE, other="%v"), WRITE],
        # Other ends, another axis, steps, another element type.
        [SLICE, SCALE, changed(WRITE, start="%q", end="%p")],
        [SLICE, SCALE, changed(WRITE, dim=1)],
        [changed(SLICE, step=2), SCALE, changed(WRITE, step=2)],
        [SLICE, SCALE, changed(WRITE, self="%half")],
    ],
)
def test_a_slice_that_depends_on_its_length_stays(nodes: list[Node]) -> None:
    types = TYPES | {"v": rows(U0), "half": contiguous(DType.FLOAT16, (4, 3)), "sum": f32()}
    given = program(["x", "at", "to", "w", "v", "half"], [*ENDS, *nodes], ["%y"], types)
    assert MASKED_WRITES.run(given) is given


def test_a_slice_that_is_returned_stays() -> None:
    given = program(["x", "at", "to", "w"], [*ENDS, SLICE, SCALE, WRITE], ["%y", "%part"], TYPES)
    assert MASKED_WRITES.run(given) is given
