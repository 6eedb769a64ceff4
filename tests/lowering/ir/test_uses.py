"""Producers, users and last uses of values, and the graphs inside graphs."""

from __future__ import annotations

from lowering.ir import uses
from lowering.ir.program import Argument, Graph, Node, Ref, all_graphs, all_nodes, graphs_of


def _node(name: str, *read: str, outputs: tuple = ()) -> Node:
    args = tuple(Argument("", Ref(item)) for item in read)
    return Node(name, "aten.it.default", args, outputs or (name,))


# b = it(x, x); (c, [d]) = it(b, w); e = it(c, b)
NODES = (
    _node("b", "x", "x"),
    _node("split", "b", "w", outputs=("c", ("d", None))),
    _node("e", "c", "b"),
)
GRAPH = Graph((Ref("x"), 3, Ref("w")), (Ref("e"), (Ref("d"), Ref("e"))), NODES, {})


def test_what_a_graph_is_given_and_returns() -> None:
    assert uses.input_names(GRAPH) == ["x", "w"]
    assert uses.output_names(GRAPH) == ["e", "d", "e"]


def test_what_nodes_make_and_use() -> None:
    assert uses.made_by(NODES) == {"b", "c", "d", "e"}
    assert list(uses.used_by(NODES)) == ["x", "b", "w", "c"]
    assert uses.used_from_outside(NODES) == ["x", "w"]
    assert uses.used_from_outside(NODES[1:]) == ["b", "w"]


def test_producers_and_users() -> None:
    first, split, last = NODES
    assert uses.producers(NODES) == {"b": first, "c": split, "d": split, "e": last}
    assert uses.users(NODES) == {"x": [first], "b": [split, last], "w": [split], "c": [last]}


def test_a_node_may_use_a_value_twice() -> None:
    assert uses.use_counts(NODES) == {"x": 2, "b": 2, "w": 1, "c": 1}
    assert uses.use_counts(NODES)["e"] == 0


def test_last_uses() -> None:
    """What is given is the caller's; what is kept stays; what nothing uses goes when it is made."""
    assert uses.last_uses(NODES, {"e"}) == [(), ("d",), ("c", "b")]
    assert uses.last_uses(NODES, {"b", "d"}) == [(), (), ("c", "e")]


def test_a_nested_graph_uses_its_inputs_alone() -> None:
    inner = Graph((Ref("i"),), (Ref("j"),), (_node("j", "i"),), {}, "inner")
    outer = Graph(
        (), (), (Node("n", "higher_order.it", (Argument("", (inner, Ref("x"))),), ("y",)),), {}, "outer"
    )
    holder = Node("m", "higher_order.it", (Argument("", {"body": outer}), Argument("", inner)), ("z",))
    whole = Graph((), (), (holder,), {})
    assert list(graphs_of(holder)) == [outer, inner]
    assert [graph.name for graph in all_graphs(whole)] == ["main", "outer", "inner", "inner"]
    assert [node.name for node in all_nodes(whole.nodes)] == ["m", "n", "j", "j"]
    assert list(uses.used_by(outer.nodes)) == ["x"]
    assert list(uses.used_by(whole.nodes)) == []


def test_a_node_computes_what_it_was_put_in_the_place_of() -> None:
    # `e` alone runs: the nodes before it are in it.
    alone = [_node("e", "x", "w")]
    assert uses.computed_by(alone, NODES) == {"e": ("b", "split", "e")}


def test_what_has_a_node_of_its_own_is_not_anothers() -> None:
    running = [_node("b", "x", "packed"), _node("e", "w", "b")]
    assert uses.computed_by(running, NODES) == {"b": ("b",), "e": ("split", "e")}


def test_a_node_of_no_other_computes_nothing() -> None:
    running = [*NODES, _node("e.dense", "e", outputs=("e",))]
    computed = uses.computed_by(running, NODES)
    assert computed == {"b": ("b",), "split": ("split",), "e": ("e",), "e.dense": ()}


def test_nodes_that_ran_before_the_call_are_of_none() -> None:
    running = [_node("e", "c", "b")]
    assert uses.computed_by(running, NODES) == {"e": ("e",)}
