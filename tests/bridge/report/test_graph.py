"""The graph of a report: every node once, in its group, with all that the page shows of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from bridge.report.graph import graph_data
from lowering.ir.plan import Placement, Plan, Segment
from tests.bridge.samples import NAMES, lowered
from tests.lowering.graphs import program
from tests.lowering.render.samples import in_two, two_layers


def nodes_of(data: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {node["title"]: node for node in data["nodes"]}


@pytest.mark.parametrize("name", NAMES)
def test_indices_lead_to_what_is_there(name: str) -> None:
    made = lowered(name)
    data = graph_data(made.functional, made.plan)
    kinds = Counter(node["kind"] for node in data["nodes"])
    assert kinds["operator"] == len(made.functional.nodes)
    assert data["groups"][0][1] == -1
    assert all(parent < index for index, (_, parent, _) in enumerate(data["groups"]))
    for index, node in enumerate(data["nodes"]):
        assert 0 <= node["group"] < len(data["groups"])
        assert all(type_ < len(data["texts"]) for type_ in node["types"])
        assert all(frame < len(data["frames"]) for frame in node["frames"])
        assert all(source < index and type_ < len(data["texts"]) for source, type_ in node["from"])


def test_a_node_has_its_operator_types_line_placement_and_reason() -> None:
    layers = two_layers()
    data = graph_data(layers, in_two(layers))
    linear, add = nodes_of(data)["linear"], nodes_of(data)["add"]
    assert (linear["operator"], linear["module"]) == ("aten.linear.default", "body.0")
    assert [data["texts"][type_] for type_ in linear["types"]] == ["f32[2, 3]"]
    assert data["frames"][linear["frames"][0]] == ("model.py", 3, "forward", "pass")
    assert [data["nodes"][source]["title"] for source, _ in linear["from"]] == ["x", "w0"]
    assert (linear["placement"], linear["segment"], linear["reason"]) == ("StableHLO", 0, "")
    assert (add["placement"], add["segment"], add["reason"]) == ("ATen", 1, "no rule")
    assert [group[0] for group in data["groups"]] == [
        "",
        "segment 0: StableHLO",
        "body.0",
        "segment 1: ATen",
        "body.1",
    ]


def test_one_segment_is_not_a_group() -> None:
    layers = two_layers()
    plan = Plan((Segment(0, Placement.STABLEHLO, tuple(node.name for node in layers.nodes), (), ()),))
    assert [group[0] for group in graph_data(layers, plan)["groups"]] == ["", "body", "0", "1"]


def test_an_output_that_is_always_the_same_is_left_out() -> None:
    data = graph_data(program(["x"], [], [3, "%x", None]), Plan(()))
    assert [node["title"] for node in data["nodes"]] == ["x", "output 1"]


def test_a_node_shows_the_graphs_that_it_holds() -> None:
    made = lowered("branch")
    held = [node["nested"] for node in graph_data(made.functional, made.plan)["nodes"] if node["nested"]]
    assert held
    assert "aten." in held[0]
