"""Groups of a graph that say nothing become one with what they hold."""

from __future__ import annotations

from typing import Any

from bridge.report.groups import PART, divided, joined


def operator(title: str, group: int, kind: str = "operator") -> dict[str, Any]:
    return {"kind": kind, "title": title, "group": group}


def test_a_chain_of_groups_is_one() -> None:
    nodes = [operator("a", 3), operator("b", 3), operator("c", 4), operator("d", 4)]
    groups = [("", -1, ""), ("body", 0, ""), ("layers", 1, ""), ("0", 2, ""), ("1", 2, "")]
    assert joined(groups, nodes) == [("", -1, ""), ("body.layers", 0, ""), ("0", 1, ""), ("1", 1, "")]
    assert [node["group"] for node in nodes] == [2, 2, 3, 3]


def test_a_single_operator_leaves_its_group_with_its_weight() -> None:
    nodes = [operator("weight", 2, "weight"), operator("linear", 2), operator("add", 1)]
    assert joined([("", -1, ""), ("block", 0, ""), ("query", 1, "")], nodes) == [
        ("", -1, ""),
        ("block", 0, ""),
    ]
    assert [(node["title"], node["group"]) for node in nodes] == [
        ("weight", 1),
        ("query: linear", 1),
        ("add", 1),
    ]


def test_a_chain_that_ends_in_a_single_operator_goes() -> None:
    nodes = [operator("linear", 2)]
    assert joined([("", -1, ""), ("block", 0, ""), ("query", 1, "")], nodes) == [("", -1, "")]
    assert nodes[0] == {"kind": "operator", "title": "block.query: linear", "group": 0}


def test_a_segment_stays() -> None:
    groups = [("", -1, ""), ("segment 0: ATen", 0, "ATen")]
    nodes = [operator("linear", 1)]
    assert joined(groups, nodes) == groups
    assert nodes[0]["group"] == 1


def test_a_group_of_too_many_operators_is_divided() -> None:
    nodes = [operator("x", 0, "input")]
    for index in range(450):
        nodes += [operator(f"w{index}", 1, "weight"), operator(f"v{index}", 1)]
    nodes.append(operator("alone", 2))
    groups = divided([("", -1, ""), ("body", 0, ""), ("head", 0, "")], nodes)
    parts = ["operators 1 to 100", "operators 101 to 200", "operators 201 to 300", "operators 301 to 400"]
    assert [title for title, _, _ in groups] == ["", "body", "head", *parts, "operators 401 to 450"]
    assert {parent for _, parent, _ in groups[3:]} == {1}
    assert [node["group"] for node in nodes if node["kind"] == "operator"] == [
        *(3 + index // PART for index in range(450)),
        2,
    ]
    weights = [node["group"] for node in nodes if node["kind"] == "weight"]
    assert weights == [3 + index // PART for index in range(450)]
    assert nodes[0]["group"] == 0
