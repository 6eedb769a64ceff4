"""A program in the JSON of Model Explorer, which folds it by module itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lowering.ir.plan import Placement, Plan
from lowering.ir.program import STORED, Graph, InputKind, Node, Program, Ref, graphs_of, refs_of
from lowering.ir.text import print_arg, print_type
from lowering.ir.uses import users
from lowering.render.folding import path_of
from lowering.render.naming import RETURNED, operator_name, output_title
from lowering.render.picture import BOX_COLOURS, SEGMENT_COLOURS, BoxKind

# A value's producer, as the viewer has it: the id of a node, and which of its outputs.
Origins = dict[str, tuple[str, str]]


def to_model_explorer(program: Program, plan: Plan | None = None) -> dict[str, Any]:
    """A collection of graphs as plain data: the program's, and one for each graph nested in a node.

    Module paths are namespaces. With a plan, nodes have the colour and the reason of their placement.
    """
    placed = _placements(plan)
    nodes: list[dict[str, Any]] = []
    origins: Origins = {}
    readers = users(program.nodes)
    for spec in program.signature.inputs:
        if spec.kind is not InputKind.LITERAL:
            kind = BoxKind.WEIGHT if spec.kind in STORED else BoxKind.INPUT
            attributes = {"kind": spec.kind.value, "value": spec.name}
            types = [print_type(program.graph.values.get(spec.name))]
            node = _node(f"{kind.value} {spec.name}", spec.fqn or spec.name, attributes, types)
            where = _namespace(readers.get(spec.name, ())) if kind is BoxKind.WEIGHT else ""
            nodes.append({**node, "namespace": where, "style": _style(BOX_COLOURS[kind])})
            origins[spec.name] = node["id"], "0"
    name = program.name or program.graph.name
    nodes += _nodes(program.graph, name, origins, placed)
    returned = 0
    for index, spec in enumerate(program.signature.outputs):
        title = output_title(spec, returned)
        returned += spec.kind in RETURNED
        node = _node(f"output {index}", title, {"kind": spec.kind.value}, [])
        edges = _edges(refs_of(spec.value), origins)
        nodes.append({**node, "incomingEdges": edges, "style": _style(BOX_COLOURS[BoxKind.OUTPUT])})
    graphs = [{"id": name, "nodes": nodes}, *_nested(program.graph.nodes, name)]
    return {"label": name, "graphs": graphs}


def _placements(plan: Plan | None) -> dict[str, tuple[Placement, dict[str, str]]]:
    """By node, where it runs, and the attributes that say so."""
    found: dict[str, tuple[Placement, dict[str, str]]] = {}
    for segment in plan.segments if plan is not None else ():
        for name in segment.nodes:
            reason = plan.reasons.get(name) if plan is not None else None
            attributes = {"segment": str(segment.index), "placement": segment.placement.value}
            found[name] = segment.placement, attributes | ({"reason": reason} if reason else {})
    return found


def _nodes(
    graph: Graph, graph_id: str, origins: Origins, placed: Mapping[str, tuple[Placement, dict[str, str]]]
) -> Iterator[dict[str, Any]]:
    """The nodes of a graph. `origins` gets what they make."""
    for node in graph.nodes:
        results = list(node.results())
        origins.update((value, (node.name, str(index))) for index, value in enumerate(results))
    for node in graph.nodes:
        types = [print_type(graph.values.get(value)) for value in node.results()]
        placement, where = placed.get(node.name, (None, {}))
        attributes = {"operator": node.target, **_attributes(node), **where}
        data = _node(node.name, operator_name(node.target), attributes, types)
        data["namespace"] = _namespace([node])
        data["incomingEdges"] = _edges(node.refs(), origins)
        data["subgraphIds"] = [f"{graph_id}/{node.name}/{n.name}" for n in graphs_of(node)]
        if placement is not None:
            data["style"] = _style(SEGMENT_COLOURS[placement])
        yield data


def _nested(nodes: Iterable[Node], outer: str) -> Iterator[dict[str, Any]]:
    """The graphs that nodes hold, each with nodes for its inputs and outputs."""
    for node in nodes:
        for graph in graphs_of(node):
            name = f"{outer}/{node.name}/{graph.name}"
            origins: Origins = {}
            found: list[dict[str, Any]] = []
            for item in graph.inputs:
                if isinstance(item, Ref):
                    types = [print_type(graph.values.get(item.name))]
                    found.append(_node(f"input {item.name}", item.name, {"kind": "input"}, types))
                    origins[item.name] = found[-1]["id"], "0"
            found += _nodes(graph, name, origins, {})
            for index, item in enumerate(graph.outputs):
                edges = _edges(refs_of(item), origins)
                title = f"output {index}"
                found.append({**_node(title, title, {"kind": "output"}, []), "incomingEdges": edges})
            yield {"id": name, "nodes": found}
            yield from _nested(graph.nodes, name)


def _namespace(nodes: Sequence[Node]) -> str:
    """The innermost module that some nodes share."""
    parts: list[str] = []
    for level in zip(*map(path_of, nodes), strict=False):
        if len(set(level)) > 1:
            break
        parts.append(level[0].replace("/", "_"))
    return "/".join(parts)


def _attributes(node: Node) -> dict[str, str]:
    found = {name: print_arg(value) for name, value in node.attributes.items()}
    where = str(node.location)
    return found | ({"source line": where} if where else {})


def _node(name: str, label: str, attributes: Mapping[str, str], types: Iterable[str]) -> dict[str, Any]:
    return {
        "id": name,
        "label": label,
        "namespace": "",
        "attrs": [{"key": key, "value": value} for key, value in attributes.items()],
        "incomingEdges": [],
        "outputsMetadata": [
            {"id": str(index), "attrs": [{"key": "tensor_shape", "value": text}]}
            for index, text in enumerate(types)
        ],
    }


def _edges(names: Iterable[str], origins: Origins) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for index, name in enumerate(names):
        if name in origins:
            node, output = origins[name]
            found.append(
                {"sourceNodeId": node, "sourceNodeOutputId": output, "targetNodeInputId": str(index)}
            )
    return found


def _style(colours: tuple[str, str]) -> dict[str, str]:
    fill, border = colours
    return {"backgroundColor": fill, "borderColor": border}
