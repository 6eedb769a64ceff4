"""The small steps that passes over a graph share; each gives back what it was given where nothing changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from lowering.ir.aten import OpSchema, schema
from lowering.ir.program import Arg, Graph, Node, Ref, graphs_of, refs_of
from lowering.ir.types import ValueType
from lowering.ir.uses import made_by

#: The schema of an operator by its name; None for an unknown one.
SchemaOf = Callable[[str], OpSchema | None]


def substitute(arg: Arg, read: Callable[[str], Arg]) -> Arg:
    """An argument with every reference replaced."""
    if isinstance(arg, Ref):
        return read(arg.name)
    if isinstance(arg, tuple):
        return tuple(substitute(item, read) for item in arg)
    if isinstance(arg, dict):
        return {key: substitute(item, read) for key, item in arg.items()}
    return arg


def bound_arguments(node: Node) -> Mapping[str, Arg]:
    """The arguments of one of ATen's operators by name, with the defaults of those that it leaves out."""
    known = schema(node.target)
    assert known is not None
    return known.bind(node.args)


def with_graphs(node: Node, rewrite: Callable[[Graph], Graph]) -> Node:
    """The node with each graph that it holds rewritten."""
    made = {id(graph): rewrite(graph) for graph in graphs_of(node)}
    if all(id(graph) == before for before, graph in made.items()):
        return node
    return replace(node, args=tuple(a._replace(value=_with_graphs(a.value, made)) for a in node.args))


def _with_graphs(arg: Arg, made: Mapping[int, Graph]) -> Arg:
    if isinstance(arg, Graph):
        return made[id(arg)]
    if isinstance(arg, tuple):
        return tuple(_with_graphs(item, made) for item in arg)
    if isinstance(arg, dict):
        return {key: _with_graphs(item, made) for key, item in arg.items()}
    return arg


def defined_values(
    inputs: Iterable[Arg], nodes: Iterable[Node], values: Mapping[str, ValueType]
) -> dict[str, ValueType]:
    """The types of what these inputs and nodes define."""
    defined = {name for item in inputs for name in refs_of(item)}
    defined |= made_by(nodes)
    return {name: type_ for name, type_ in values.items() if name in defined}
