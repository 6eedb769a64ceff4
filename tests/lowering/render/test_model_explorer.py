"""Programs in Model Explorer's JSON: its fields, and edges that lead from node to node."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lowering.render.model_explorer import to_model_explorer
from tests.bridge.samples import NAMES, lowered
from tests.lowering.render.samples import in_two, two_layers

# The fields of version 0.1.34 of the viewer, and those that every object has.
FIELDS = {
    "graph": ({"id", "nodes"}, {"groupNodeAttributes", "groupNodeConfigs", "tasksData", "layoutConfigs"}),
    "node": (
        {"id", "label", "namespace", "attrs", "incomingEdges"},
        {"subgraphIds", "outputsMetadata", "style"},
    ),
    "edge": ({"sourceNodeId", "sourceNodeOutputId", "targetNodeInputId"}, set()),
    "item": ({"id", "attrs"}, set()),
    "pair": ({"key", "value"}, set()),
}


def has(kind: str, data: dict[str, Any]) -> None:
    needed, allowed = FIELDS[kind]
    assert needed <= data.keys() <= needed | allowed, data


def check(data: dict[str, Any]) -> None:
    """The collection keeps to the format, and what it names is there."""
    assert json.loads(json.dumps(data)) == data
    graphs = {graph["id"] for graph in data["graphs"]}
    assert len(graphs) == len(data["graphs"])
    for graph in data["graphs"]:
        has("graph", graph)
        outputs = {node["id"]: {item["id"] for item in node["outputsMetadata"]} for node in graph["nodes"]}
        assert len(outputs) == len(graph["nodes"])
        for node in graph["nodes"]:
            has("node", node)
            assert set(node.get("subgraphIds", ())) <= graphs
            for item in node["outputsMetadata"]:
                has("item", item)
            for pair in (pair for item in (node, *node["outputsMetadata"]) for pair in item["attrs"]):
                has("pair", pair)
                assert isinstance(pair["value"], str)
            for edge in node["incomingEdges"]:
                has("edge", edge)
                assert edge["sourceNodeOutputId"] in outputs[edge["sourceNodeId"]]


@pytest.mark.parametrize("name", NAMES)
def test_programs_keep_to_the_format(name: str) -> None:
    program = lowered(name).functional
    data = to_model_explorer(program, lowered(name).plan)
    check(data)
    assert {item.name for item in program.nodes} <= {node["id"] for node in data["graphs"][0]["nodes"]}


def test_a_branch_is_a_graph_of_its_own() -> None:
    data = to_model_explorer(lowered("branch").functional)
    held = [node["subgraphIds"] for node in data["graphs"][0]["nodes"] if node.get("subgraphIds")]
    assert held
    assert [name for names in held for name in names] == [graph["id"] for graph in data["graphs"][1:]]


def test_a_node_has_its_module_placement_and_line() -> None:
    program = two_layers()
    data = to_model_explorer(program, in_two(program))
    nodes = {node["id"]: node for node in data["graphs"][0]["nodes"]}
    attributes = {pair["key"]: pair["value"] for pair in nodes["linear"]["attrs"]}
    assert nodes["linear"]["namespace"] == nodes["weight w0"]["namespace"] == "body/0"
    assert nodes["add"]["namespace"] == nodes["input x"]["namespace"] == ""
    assert attributes["operator"] == "aten.linear.default"
    assert attributes["source line"] == "model.py:3"
    assert attributes["placement"] == "stablehlo"
    late = {pair["key"]: pair["value"] for pair in nodes["add"]["attrs"]}
    assert (late["placement"], late["reason"], late["segment"]) == ("aten", "no rule", "1")
