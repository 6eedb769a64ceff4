"""Nodes that give, pass on and check numbers from the data."""

from __future__ import annotations

from lowering.ir.module import Check, CheckKind, Port
from lowering.ir.symbols import Apply, Symbol
from lowering.ir.types import DType, SymKind, SymType, contiguous
from lowering.stablehlo.emit import emit_module, try_nodes
from tests.lowering.graphs import f32, node, program

U0 = Symbol("u0")
TYPES = {
    "p": contiguous(DType.INT64, (1,)),
    "n": SymType(SymKind.INT, U0),
    "le": SymType(SymKind.BOOL, Apply("LessThan", (U0, 4))),
    "y": f32(2, 3),
}
ITEM = node("n", "aten.item.default", self="%p", line=5)
SCALED = node("y", "aten.mul.Tensor", self="%x", other="%n")


def test_numbers_are_ports_between_segments() -> None:
    whole = program(["x", "p"], [ITEM, SCALED], ["%y"], TYPES)
    first = emit_module(whole, [ITEM], ["p"], ["n"], {}, "first")
    assert first.outputs == (Port("n", DType.INT64, ()),)
    second = emit_module(whole, [SCALED], ["x", "n"], ["y"], {}, "second")
    assert second.inputs[1] == Port("n", DType.INT64, ())


def test_an_assertion_is_a_check_in_the_programs_words() -> None:
    text = "Runtime assertion failed for expression u0 <= 4 on node 'le'"
    nodes = [
        ITEM,
        node("le", "_operator.le", a="%n", b=4),
        node("assert", "aten._assert_scalar.default", self="%le", assert_msg=text, outputs=(), line=6),
        node("own", "aten._assert_scalar.default", self="%le", assert_msg="p is at most 4", outputs=()),
        SCALED,
    ]
    whole = program(["x", "p"], nodes, ["%y"], TYPES)
    found = emit_module(whole, nodes, ["x", "p"], ["y"], {}, "m").checks
    target = "aten._assert_scalar.default"
    assert found == (
        Check(CheckKind.ASSERTION, f"node assert, {target} (model.py:6): the program takes n <= 4"),
        Check(CheckKind.ASSERTION, f"node own, {target}: p is at most 4"),
    )


def test_a_range_is_two_checks() -> None:
    bounded = node("range", "aten.sym_constrain_range.default", size="%n", min=0, max=7, outputs=())
    whole = program(["x", "p"], [ITEM, bounded, SCALED], ["%y"], TYPES)
    found = emit_module(whole, [ITEM, bounded, SCALED], ["x", "p"], ["y"], {}, "m").checks
    assert [check.message.partition(": ")[2] for check in found] == [
        "the program takes numbers of 0 or more here",
        "the program takes numbers of at most 7 here",
    ]


def test_other_operators_give_numbers_on_aten() -> None:
    same = node("le", "aten.equal.default", self="%x", other="%x")
    whole = program(["x"], [same], ["%le"], TYPES)
    assert try_nodes(whole, {}) == {"le": "its value is known only once the data is"}


def test_a_decomposition_takes_no_number_from_the_data() -> None:
    made = node("y", "aten.xlogy.OutScalar_Self", self="%n", other="%x")
    whole = program(["x", "p"], [ITEM, made], ["%y"], TYPES)
    assert set(try_nodes(whole, {})) == {"y"}
