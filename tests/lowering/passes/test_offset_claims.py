"""An assertion that the offset of a view is not negative goes; others stay."""

from __future__ import annotations

from expecttest import assert_expected_inline

from lowering.ir.symbols import Apply, Symbol
from lowering.ir.types import DType, SymKind, SymType, TensorType, contiguous
from lowering.passes.offset_claims import OFFSET_CLAIMS
from tests.lowering.graphs import node, program
from tests.lowering.passes.rewritten import rewritten

U0, U1 = Symbol("u0"), Symbol("u1")


def test_only_what_always_holds_goes() -> None:
    types = {
        "p": contiguous(DType.INT64, ()),
        "at": SymType(SymKind.INT, U0),
        "row": TensorType(DType.FLOAT32, (3,), (1,), U1),
        # Of an axis of stride 1 the item is the offset.
        "one": TensorType(DType.FLOAT32, (), (), U0),
        "offset": SymType(SymKind.INT, U1),
        "ge": SymType(SymKind.BOOL, Apply("GreaterThan", (U1, 0))),
        "le": SymType(SymKind.BOOL, Apply("LessThan", (U1, 9))),
        "own": SymType(SymKind.BOOL, Apply("GreaterThan", (U0, 0))),
    }
    nodes = [
        node("at", "aten.item.default", self="%p"),
        node("row", "aten.select.int", self="%x", dim=0, index="%at"),
        node("one", "aten.select.int", self="%y", dim=0, index="%at"),
        node("offset", "aten.sym_storage_offset.default", self="%row"),
        node("ge", "_operator.ge", a="%offset", b=0),
        node("a", "aten._assert_scalar.default", self="%ge", assert_msg="no", outputs=()),
        node("le", "_operator.le", a="%offset", b=9),
        node("b", "aten._assert_scalar.default", self="%le", assert_msg="no", outputs=()),
        node("own", "_operator.ge", a="%at", b=0),
        node("c", "aten._assert_scalar.default", self="%own", assert_msg="no", outputs=()),
    ]
    found = rewritten(OFFSET_CLAIMS, program(["x", "p", "y"], nodes, ["%row", "%one"], types))
    assert_expected_inline(
        found.partition("=>\n")[2],
        """\
main(
  %x: f32[2, 3]  # user
  %p: i64[]  # user
  %y: f32[2, 3]  # user
) {
  %at: int(u0) = aten.item.default(self=%p)
  %row: f32[3; offset u1] = aten.select.int(self=%x, dim=0, index=%at)
  %one: f32[; offset u0] = aten.select.int(self=%y, dim=0, index=%at)
  %offset: int(u1) = aten.sym_storage_offset.default(self=%row)
  %ge: bool(u1 >= 0) = _operator.ge(a=%offset, b=0)
  %le: bool(u1 <= 9) = _operator.le(a=%offset, b=9)
  aten._assert_scalar.default(self=%le, assert_msg='no')  # node b
  %own: bool(u0 >= 0) = _operator.ge(a=%at, b=0)
  aten._assert_scalar.default(self=%own, assert_msg='no')  # node c
  return (
    %row
    %one
  )
}
""",
    )
