"""A segment on ATen as its passes see it: nodes, constants, and the memory that nodes may write to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lowering.ir.program import Graph, Node
from lowering.ir.text import print_nodes
from lowering.ir.uses import used_by
from lowering.passes.pipeline import Pass

if TYPE_CHECKING:
    import torch

# By node name, the arguments that the node writes to rather than to a copy.
InPlace = Mapping[str, frozenset[str]]


class MalformedProgram(ValueError):
    """A pass left a program that cannot run. This is a bug of the pass."""


@dataclass(frozen=True)
class AtenProgram:
    """The nodes of one segment between two passes.

    `graph`: the graph that the nodes were taken from; it has the types of values. `inputs`: values that each
    call brings. `constants`: tensors that never change, by value name. `outputs`: values that are read when
    the nodes have run. `updates`: the old values of buffers that nothing reads after these nodes, and the new
    ones. `in_place`: see `InPlace`.
    """

    graph: Graph
    nodes: tuple[Node, ...]
    inputs: frozenset[str]
    constants: Mapping[str, torch.Tensor]
    outputs: tuple[str, ...]
    updates: Mapping[str, str] = field(default_factory=dict)
    in_place: InPlace = field(default_factory=dict)


AtenPass = Pass[AtenProgram]


def verify(program: AtenProgram) -> None:
    """Raises MalformedProgram. A value may be made twice: its dense form takes its name."""
    known = {*program.inputs, *program.constants}
    for node in program.nodes:
        for name in node.refs():
            if name not in known:
                raise MalformedProgram(f"node {node.name} reads %{name}, which nothing makes before it")
        known.update(node.results())
    if missing := [name for name in program.outputs if name not in known]:
        raise MalformedProgram(f"nothing makes the output %{missing[0]}")
    if unknown := program.in_place.keys() - {node.name for node in program.nodes}:
        raise MalformedProgram(f"the node {min(unknown)} to run in place does not exist")


def show(program: AtenProgram) -> str:
    """The constants with their kinds, then the nodes, one a line."""
    return "\n".join((*_constants(program), *print_nodes(program.nodes, program.graph), *_in_place(program)))


def _constants(program: AtenProgram) -> Iterator[str]:
    read = used_by(program.nodes)
    for name, tensor in sorted(program.constants.items()):
        if name in read:
            yield f"constant %{name}: {str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"


def _in_place(program: AtenProgram) -> Iterator[str]:
    for name, arguments in sorted(program.in_place.items()):
        yield f"in place: {name}({', '.join(sorted(arguments))})"
