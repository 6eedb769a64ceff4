"""The effects of a node beside its results, and the properties of a tensor that it reads beside the
elements."""

from __future__ import annotations

from collections.abc import Collection

from lowering.ir.aten import OpSchema, schema
from lowering.ir.facts.namespaces import has_schema
from lowering.ir.program import Node, graphs_of

# By such an argument a random operator has nothing to draw.
_DRAWS_NOTHING = {"dropout_p": 0.0, "train": False, "training": False}

# The elements of their results are whatever was in memory before.
_UNINITIALISED = tuple(f"aten.{name}" for name in ("empty", "new_empty"))


_OF_DTYPES = frozenset(
    f"aten.{name}"
    for name in (
        *("promote_types.default", "can_cast.default", "result_type.Tensor", "result_type.Scalar"),
        *("result_type.Scalar_Tensor", "result_type.Scalar_Scalar"),
    )
)


def has_effect(node: Node) -> bool:
    """Whether running a node is seen otherwise than in its results: random state, assertions, unknown ops."""
    if any(has_effect(inner) for graph in graphs_of(node) for inner in graph.nodes):
        return True
    return _is_opaque(node) or (schema(node.target) is not None and not any(True for _ in node.results()))


def only_gives_dtype(target: str) -> bool:
    """Whether an operator does nothing but tell a dtype or a truth about dtypes, which no value holds."""
    return target in _OF_DTYPES


def sees_memory(node: Node) -> bool:
    """Whether a node's results depend on its tensors' layout: `as_strided`, random operators, which fill in
    memory order, and unknown ones."""
    if any(sees_memory(inner) for graph in graphs_of(node) for inner in graph.nodes):
        return True
    return "as_strided" in node.target or _is_opaque(node)


def draws(node: Node, found: OpSchema) -> bool:
    """Whether this call of an operator draws random numbers, as attention does only with dropout."""
    if not is_random(found.tags):
        return False
    given = {parameter.name: parameter.default for parameter in found.parameters}
    names = list(given)
    for at, argument in enumerate(node.args[: len(names)]):
        given[argument.name or names[at]] = argument.value
    return not any(name in given and given[name] == off for name, off in _DRAWS_NOTHING.items())


def is_random(tags: Collection[str]) -> bool:
    """Whether an operator with these tags draws random numbers, for some arguments at least."""
    return "nondeterministic_seeded" in tags


def changes_strides(tags: Collection[str]) -> bool:
    """Whether an operator with these tags gives its argument other sizes or strides, as `t_` does."""
    return "inplace_view" in tags


def is_uninitialised(target: str) -> bool:
    """Whether an operator gives memory as it is found."""
    return target.startswith(_UNINITIALISED)


def _is_opaque(node: Node) -> bool:
    """Whether a node draws numbers, or is of an operator that nothing is known of."""
    found = schema(node.target)
    return has_schema(node.target) if found is None else draws(node, found)
