"""Dropping what nothing uses."""

from __future__ import annotations

from dataclasses import replace

from lowering.ir.aten import schema
from lowering.ir.facts.checks import only_orders
from lowering.ir.facts.effects import draws, only_gives_dtype
from lowering.ir.facts.namespaces import is_python
from lowering.ir.program import Graph, Node, Program
from lowering.ir.unbacked import binders
from lowering.ir.uses import output_names
from lowering.passes.pipeline import Pass
from lowering.passes.program import FUNCTIONAL, graph_pass
from lowering.passes.rewriting import SchemaOf, defined_values, with_graphs


def eliminate_dead_code(schema_of: SchemaOf = schema) -> Pass[Program]:
    """The pass, for operators that `schema_of` knows."""
    return graph_pass(
        "eliminate-dead-code",
        lambda graph: live(graph, schema_of),
        "Drop the nodes whose results nothing uses and which do nothing else.",
        requires=(FUNCTIONAL,),
    )


def live(graph: Graph, schema_of: SchemaOf) -> Graph:
    """The graph, nested ones included, without nodes that have no effect and whose results nothing uses.

    Kept are also checks and other nodes without results, and random operators, which advance the generator.
    So are the first node that shows an unbacked symbol, and unknown operators.
    """
    used = set(output_names(graph))
    binding = set(binders(graph).values())
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        results = tuple(node.results())
        if (
            (not results and not only_gives_dtype(node.target))
            or node.name in binding
            or not used.isdisjoint(results)
            or not _droppable(node, schema_of)
        ):
            kept.append(with_graphs(node, lambda nested: live(nested, schema_of)))
            used.update(node.refs())
    nodes = tuple(reversed(kept))
    if len(nodes) == len(graph.nodes) and all(a is b for a, b in zip(nodes, graph.nodes, strict=True)):
        return graph
    return replace(graph, nodes=nodes, values=defined_values(graph.inputs, nodes, graph.values))


def _droppable(node: Node, schema_of: SchemaOf) -> bool:
    if is_python(node.target):
        return True
    if only_orders(node.target):
        return False
    schema = schema_of(node.target)
    if schema is None or draws(node, schema):
        return False
    return node.functional or not any(parameter.writes for parameter in schema.parameters)
