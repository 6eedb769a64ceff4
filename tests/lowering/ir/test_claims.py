"""Claims of the exporter in the program's words."""

from __future__ import annotations

import pytest

from lowering.ir.claims import Claim, claim
from lowering.ir.program import Graph
from lowering.ir.symbols import Symbol
from lowering.ir.types import DType, SymKind, SymType, TensorType
from tests.lowering.graphs import graph, node

TYPES = {
    "x": TensorType(DType.FLOAT32, (Symbol("s0"), 3), (3, 1)),
    "item": SymType(SymKind.INT, Symbol("u0")),
    "places": TensorType(DType.INT64, (Symbol("u1"), 2), (2, 1)),
}
BOTH = {"u0": "item", "u1": "places.size(0)"}


def found() -> Graph:
    nodes = [
        node("item", "aten.item.default", self="%y", line=3),
        node("places", "aten.nonzero.default", self="%x", line=4),
    ]
    return graph(["x", "y"], nodes, ["%places"], TYPES)


@pytest.mark.parametrize(
    ("expression", "text", "words", "where"),
    [
        ("u0 <= 10", "item <= 10", {"u0": "item"}, " (model.py:3)"),
        ("Eq(u1, u0)", "places.size(0) == item", BOTH, " (model.py:3, model.py:4)"),
        ("u0 < s0", "item < x.size(0)", {"s0": "x.size(0)", "u0": "item"}, " (model.py:3)"),
        ("u7 >= 0", "u7 >= 0", {"u7": "u7"}, ""),
    ],
)  # fmt: skip
def test_symbols_are_called_by_what_shows_them(
    expression: str, text: str, words: dict[str, str], where: str
) -> None:
    message = f"Runtime assertion failed for expression {expression} on node 'le_2'"
    assert claim(message, found()) == Claim(text, words, where)


@pytest.mark.parametrize(
    "message", ["n must be even", "Runtime assertion failed for expression +* on node 'a'"]
)
def test_other_messages_are_none_of_these(message: str) -> None:
    assert claim(message, found()) is None
