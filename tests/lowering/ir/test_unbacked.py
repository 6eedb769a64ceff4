"""Symbols from data: which size tensors, and which are numbers that are passed on as values."""

from __future__ import annotations

from lowering.ir.symbols import Apply, Symbol
from lowering.ir.types import DType, SymKind, SymType, TensorType, ValueType, contiguous
from lowering.ir.unbacked import is_number, sizing, symbols_of, typical_sizes
from tests.lowering.graphs import graph, node, program

U0, U1, U2, U3 = map(Symbol, ("u0", "u1", "u2", "u3"))
TYPES: dict[str, ValueType] = {
    "n": SymType(SymKind.INT, U0),
    "k": SymType(SymKind.INT, U1),
    "both": SymType(SymKind.INT, Apply("Add", (U0, U1))),
    "sized": TensorType(DType.FLOAT32, (U0,), (1,)),
    "row": TensorType(DType.FLOAT32, (3,), (1,), U2),
    "spread": TensorType(DType.FLOAT32, (3,), (U3,)),
}
NODES = [
    node("n", "aten.item.default", self="%x"),
    node("k", "aten.item.default", self="%x"),
    node("both", "_operator.add", a="%n", b="%k"),
    node("sized", "aten.zeros.default", size=("%n",)),
    node("row", "aten.select.int", self="%x", dim=0, index="%k"),
    node("spread", "aten.as_strided.default", self="%x", size=(3,), stride=("%k",)),
]
WHOLE = program(["x"], NODES, ["%sized", "%row", "%spread"], TYPES)


def test_sizes_and_strides_are_sizing_and_offsets_are_not() -> None:
    assert sizing(WHOLE.graph) == {"u0", "u3"}


def test_what_a_nested_graph_is_sized_by_counts() -> None:
    inner = graph(["a"], [], ["%a"], {"a": TensorType(DType.FLOAT32, (U1,), (1,))}, name="inner")
    outer = node("y", "higher_order.invoke_subgraph", inner, "id", "%x")
    assert sizing(graph(["x"], [outer], ["%y"])) == {"u1"}


def test_a_number_depends_on_a_symbol_that_sizes_nothing() -> None:
    sizes = sizing(WHOLE.graph)
    found = [name for name in WHOLE.graph.values if is_number(WHOLE.graph, name, sizes)]
    assert found == ["k", "both"]


def test_a_module_depends_on_sizes_alone() -> None:
    assert symbols_of(WHOLE.graph, ["x"], NODES) == ("u0",)
    assert symbols_of(WHOLE.graph, ["x"], NODES[1:2]) == ()


def test_numbers_have_no_typical_size() -> None:
    assert typical_sizes(WHOLE) == {"u0": 2, "u3": 2}
    counted = program(["x"], NODES[1:2], ["%k"], {"x": contiguous(DType.INT64, ()), **TYPES})
    assert typical_sizes(counted) == {}
