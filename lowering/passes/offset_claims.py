"""Dropping what the exporter asserts of offsets that it made up for views.

Where a view begins at a number from the data, the exporter gives its offset a symbol. It asserts that the
offset is not negative. No view begins before its memory, and dense values have no offset.
"""

from __future__ import annotations

from dataclasses import replace

from lowering.ir.facts.checks import asserts_number
from lowering.ir.program import Graph, Node, Ref
from lowering.ir.symbols import Apply, Symbol
from lowering.ir.types import SymType, TensorType
from lowering.ir.unbacked import binders
from lowering.passes.program import FUNCTIONAL, graph_pass
from lowering.passes.rewriting import defined_values, with_graphs


def without_offset_claims(graph: Graph) -> Graph:
    """The graph, nested ones included, without assertions that an offset of a view is 0 or more."""
    offsets = _made_up(graph)
    kept = tuple(
        with_graphs(node, without_offset_claims)
        for node in graph.nodes
        if node.outputs or not asserts_number(node.target) or not _is_claim(graph, node, offsets)
    )
    if len(kept) == len(graph.nodes) and all(a is b for a, b in zip(kept, graph.nodes, strict=True)):
        return graph
    return replace(graph, nodes=kept, values=defined_values(graph.inputs, kept, graph.values))


def _made_up(graph: Graph) -> set[Symbol]:
    """The symbols that offsets of views are the first to show. An offset that is an item is the data's."""
    found_by = binders(graph)
    found: set[Symbol] = set()
    for node in graph.nodes:
        for type_ in map(graph.values.get, node.results()):
            offset = type_.offset if isinstance(type_, TensorType) else None
            if isinstance(offset, Symbol) and found_by.get(offset.name) == node.name:
                found.add(offset)
    return found


def _is_claim(graph: Graph, node: Node, offsets: set[Symbol]) -> bool:
    condition = node.args[0].value
    type_ = graph.values.get(condition.name) if isinstance(condition, Ref) else None
    value = type_.value if isinstance(type_, SymType) else None
    if not isinstance(value, Apply) or value.op != "GreaterThan":
        return False
    number, least = value.args
    return isinstance(number, Symbol) and number in offsets and least == 0


OFFSET_CLAIMS = graph_pass(
    "drop-offset-claims",
    without_offset_claims,
    "Drop assertions that the offset of a view is not negative.",
    requires=(FUNCTIONAL,),
)
