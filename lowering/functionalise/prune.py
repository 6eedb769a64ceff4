"""Dropping what nothing uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lowering.ir.aten import OpSchema
from lowering.ir.program import Graph, Node, refs_of
from lowering.ir.symbols import free_symbols, is_unbacked
from lowering.ir.types import SymType, TensorType, ValueType

_PURE_NAMESPACES = ("_operator", "math", "torch")
# Their results only order them.
_CHECKS = ("aten._functional_assert", "aten._functional_sym_constrain", "aten._make_dep_token")


def prune(graph: Graph, schema_of: Callable[[str], OpSchema | None]) -> Graph:
    """The graph without the nodes whose results nothing uses and which do nothing else.

    Kept are also: checks and other nodes without results, random operators (they advance the generator), the
    first node that shows an unbacked symbol, and operators that nothing is known of.
    """
    used = {name for output in graph.outputs for name in refs_of(output)}
    binding = _binding_nodes(graph)
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
    if node.target.partition(".")[0] in _PURE_NAMESPACES:
        return True
    if node.target.startswith(_CHECKS):
        return False
    schema = schema_of(node.target)
    if schema is None or "nondeterministic_seeded" in schema.tags:
        return False
    return node.functional or not any(parameter.writes for parameter in schema.parameters)


def _binding_nodes(graph: Graph) -> set[str]:
    """Names of the nodes in whose results an unbacked symbol appears for the first time."""
    seen: set[str] = set()
    for item in graph.inputs:
        for name in refs_of(item):
            seen |= _unbacked(graph.values.get(name))
    found: set[str] = set()
    for node in graph.nodes:
        symbols = frozenset().union(*(_unbacked(graph.values.get(name)) for name in node.results()))
        if not symbols <= seen:
            found.add(node.name)
            seen |= symbols
    return found


def _unbacked(type_: ValueType | None) -> frozenset[str]:
    if isinstance(type_, TensorType):
        terms = (*type_.sizes, *type_.strides, type_.offset)
    elif isinstance(type_, SymType):
        terms = (type_.value,)
    else:
        return frozenset()
    return frozenset(name for term in terms for name in free_symbols(term) if is_unbacked(name))
