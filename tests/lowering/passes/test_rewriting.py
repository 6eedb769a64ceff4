"""The steps that passes share: nothing new where nothing changes, and all that is nested."""

from __future__ import annotations

from dataclasses import replace

from lowering.ir.program import Argument, Graph, Ref
from lowering.passes.rewriting import defined_values, substitute, with_graphs
from tests.lowering.graphs import MATRIX, graph, node

INNER = graph(["a"], [node("b", "aten.neg.default", self="%a")], ["%b"], name="inner")
HOLDER = node("out", "higher_order.cond", "%p", INNER, (INNER, {"key": INNER}), ("%x",))


def test_references_inside_lists_and_dictionaries_are_replaced() -> None:
    found = substitute((Ref("a"), 1, {"key": (Ref("b"),)}), lambda name: Ref(f"{name}_1"))
    assert found == (Ref("a_1"), 1, {"key": (Ref("b_1"),)})


def test_a_graph_is_rewritten_wherever_it_is_held() -> None:
    def renamed(given: Graph) -> Graph:
        return replace(given, name="other")

    made = with_graphs(node("out", "higher_order.map", INNER, (INNER,), {"key": INNER}), renamed)
    other = replace(INNER, name="other")
    assert made.args == (Argument("", other), Argument("", (other,)), Argument("", {"key": other}))


def test_a_node_whose_graphs_stay_is_the_same() -> None:
    assert with_graphs(HOLDER, lambda graph: graph) is HOLDER
    plain = node("y", "aten.neg.default", self="%x")
    assert with_graphs(plain, lambda graph: replace(graph, name="other")) is plain


def test_types_of_what_is_defined() -> None:
    values = dict.fromkeys(("x", "y", "first", "gone"), MATRIX)
    nodes = [node("y", "aten.split.Tensor", self="%x", split_size=1, outputs=(("first", None),))]
    assert set(defined_values((Ref("x"), 3), nodes, values)) == {"x", "first"}
