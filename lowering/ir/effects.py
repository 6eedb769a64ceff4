"""What running a node does beside its results, and what it sees of a tensor beside its elements."""

from __future__ import annotations

from collections.abc import Iterator

from lowering.ir.aten import OpSchema, schema
from lowering.ir.program import Graph, Node

# Namespaces of functions of Python numbers; a higher-order operator has the effects of its graphs.
_PURE = ("_operator", "math", "torch", "builtins", "higher_order")

# Nodes that only check, or only speak of sizes: the executor and the guards see to them before a call. What
# they say of numbers that only the data gives is for ATen to check.
NO_CODE = frozenset({"aten._assert_tensor_metadata.default", "aten.sym_constrain_range_for_size.default",
                     "aten.sym_constrain_range.default"})  # fmt: skip
ASSERT_SCALAR = "aten._assert_scalar.default"

# By such an argument a random operator has nothing to draw.
_DRAWS_NOTHING = {"dropout_p": 0.0, "train": False, "training": False}


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


def draws(node: Node, found: OpSchema) -> bool:
    """Whether this call of an operator draws random numbers, as attention does only with dropout."""
    if "nondeterministic_seeded" not in found.tags:
        return False
    given = {parameter.name: parameter.default for parameter in found.parameters}
    names = list(given)
    for at, argument in enumerate(node.args[: len(names)]):
        given[argument.name or names[at]] = argument.value
    return not any(name in given and given[name] == off for name, off in _DRAWS_NOTHING.items())


def _is_opaque(node: Node) -> bool:
    """Whether a node draws numbers, or is of an operator that nothing is known of."""
    found = schema(node.target)
    if found is None:
        return node.target.partition(".")[0] not in _PURE
    return draws(node, found)


def _graphs_in(node: Node) -> Iterator[Graph]:
    for argument in node.args:
        for value in argument.value if isinstance(argument.value, tuple) else (argument.value,):
            if isinstance(value, Graph):
                yield value
