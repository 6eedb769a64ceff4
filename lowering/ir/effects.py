"""What running a node does beside its results, and what it sees of a tensor beside its elements."""

from __future__ import annotations

from collections.abc import Iterator

from lowering.ir.aten import schema
from lowering.ir.program import Graph, Node

# Namespaces of functions of Python numbers; a higher-order operator has the effects of its graphs.
_PURE = ("_operator", "math", "torch", "builtins", "higher_order")


def has_effect(node: Node) -> bool:
    """Whether running a node is seen otherwise than in its results: random state, assertions, unknown ops."""
    if any(has_effect(inner) for graph in _graphs_in(node) for inner in graph.nodes):
        return True
    return _is_opaque(node) or (schema(node.target) is not None and not any(True for _ in node.results()))


def sees_memory(node: Node) -> bool:
    """Whether a node's results depend on how its tensors lie in memory: `as_strided`; random operators, which
    fill in the order of memory; and perhaps unknown ones."""
    if any(sees_memory(inner) for graph in _graphs_in(node) for inner in graph.nodes):
        return True
    return "as_strided" in node.target or _is_opaque(node)


def _is_opaque(node: Node) -> bool:
    """Whether a node draws numbers, or is of an operator that nothing is known of."""
    found = schema(node.target)
    if found is None:
        return node.target.partition(".")[0] not in _PURE
    return "nondeterministic_seeded" in found.tags


def _graphs_in(node: Node) -> Iterator[Graph]:
    for argument in node.args:
        for value in argument.value if isinstance(argument.value, tuple) else (argument.value,):
            if isinstance(value, Graph):
                yield value
