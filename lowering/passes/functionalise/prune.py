"""Dropping what nothing uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lowering.ir.aten import OpSchema
from lowering.ir.facts.checks import only_orders
from lowering.ir.facts.effects import draws
from lowering.ir.facts.namespaces import is_python
from lowering.ir.program import Graph, Node, refs_of
from lowering.ir.unbacked import binders


def prune(graph: Graph, schema_of: Callable[[str], OpSchema | None]) -> Graph:
    """The graph without the nodes whose results nothing uses and which do nothing else.

    Kept are also: checks and other nodes without results, random operators (they advance the generator), the
    first node that shows an unbacked symbol, and operators that nothing is known of.
    """
    used = {name for output in graph.outputs for name in refs_of(output)}
    binding = set(binders(graph).values())
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        results = tuple(node.results())
        if (
            not results
            or node.name in binding
            or not used.isdisjoint(results)
            or not _droppable(node, schema_of)
        ):
            kept.append(node)
            used.update(node.refs())
    inputs = {name for item in graph.inputs for name in refs_of(item)}
    defined = inputs.union(*(node.results() for node in kept))
    values = {name: type_ for name, type_ in graph.values.items() if name in defined}
    return replace(graph, nodes=tuple(reversed(kept)), values=values)


def _droppable(node: Node, schema_of: Callable[[str], OpSchema | None]) -> bool:
    if is_python(node.target):
        return True
    if only_orders(node.target):
        return False
    schema = schema_of(node.target)
    if schema is None or draws(node, schema):
        return False
    return node.functional or not any(parameter.writes for parameter in schema.parameters)
