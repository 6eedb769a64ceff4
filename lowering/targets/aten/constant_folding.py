"""Constant folding: a segment on ATen computes the results of weights and numbers alone once, at load."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from math import prod

import torch

from lowering.ir.aten import schema
from lowering.ir.facts.data import depends_on_data
from lowering.ir.facts.effects import is_uninitialised, sees_memory
from lowering.ir.facts.views import only_views
from lowering.ir.program import Graph, Node
from lowering.ir.types import TensorType, ValueType
from lowering.targets.aten.program import AtenPass, AtenProgram
from lowering.targets.aten.routine import Routine
from lowering.targets.errors import ExecutionError

Constants = Mapping[str, torch.Tensor]

# More than this many bytes are rather computed at each call than kept.
_MOST_BYTES = 1 << 24


def fold_constants(program: AtenProgram) -> AtenProgram:
    """The program without the nodes that compute the same at each call; their results become constants.

    Each call makes the values that are read after the nodes. A node that fails is left, to fail when it is
    called.
    """
    found = dict(program.constants)
    left: list[Node] = []
    with torch.no_grad():
        for node in program.nodes:
            made = _made(program.graph, node, found, program.outputs)
            if made is None:
                left.append(node)
            else:
                found |= made
    return replace(program, nodes=tuple(left), constants=found)


CONSTANT_FOLDING = AtenPass(
    "constant-folding", fold_constants, "Compute results of weights and numbers alone once, at load time."
)


def _made(
    graph: Graph, node: Node, constants: Constants, kept: Collection[str]
) -> dict[str, torch.Tensor] | None:
    """The results of a node, if it makes the same of the same at each call."""
    names = list(node.results())
    if not names or not constants.keys() >= set(node.refs()) or any(name in kept for name in names):
        return None
    if not _is_pure(node) or not all(_may_keep(node, graph.values.get(name)) for name in names):
        return None
    env: dict[str, torch.Tensor] = {}
    try:
        Routine(graph, [node], names, constants)(env, {})
    except ExecutionError:
        return None
    return env


def _is_pure(node: Node) -> bool:
    """Whether all that a node does is to compute what its arguments determine."""
    found = schema(node.target)
    if found is None or node.functional or sees_memory(node) or found.written(found.bind(node.args)):
        return False
    return not depends_on_data(node.target) and not is_uninitialised(node.target)


def _may_keep(node: Node, type_: ValueType | None) -> bool:
    """Whether a result is a tensor with elements, and a view or small."""
    if not isinstance(type_, TensorType) or not type_.is_static or type_.device.type == "meta":
        return False
    sizes = [size for size in type_.sizes if isinstance(size, int)]
    return only_views(node.target) or prod(sizes) * type_.dtype.itemsize <= _MOST_BYTES
