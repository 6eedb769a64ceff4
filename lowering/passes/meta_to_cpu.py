"""Programs exported on the meta device, whose recorded device says nothing about where they run."""

from __future__ import annotations

from dataclasses import replace

from lowering.ir.program import Arg, Argument, Graph, Node, Program, Ref
from lowering.ir.types import CPU, Device, TensorType, ValueType
from lowering.passes.pipeline import Pass
from lowering.passes.program import with_graph

_META = "meta"


def meta_to_cpu(program: Program) -> Program:
    """The program on the CPU where a weight or an argument lies on the meta device.

    A program that makes a meta tensor only inside means it: that one has no values, and the program stays.
    """
    graph = program.graph
    given = (graph.values.get(item.name) for item in graph.inputs if isinstance(item, Ref))
    if not any(isinstance(type_, TensorType) and type_.device.type == _META for type_ in given):
        return program
    return with_graph(program, _graph(graph))


def _graph(graph: Graph) -> Graph:
    return replace(
        graph,
        nodes=tuple(_node(node) for node in graph.nodes),
        values={name: _type(type_) for name, type_ in graph.values.items()},
    )


def _node(node: Node) -> Node:
    return replace(node, args=tuple(Argument(a.name, _arg(a.value), a.keyword) for a in node.args))


def _type(type_: ValueType) -> ValueType:
    on_meta = isinstance(type_, TensorType) and type_.device.type == _META
    return replace(type_, device=CPU) if on_meta else type_


def _arg(arg: Arg) -> Arg:
    if isinstance(arg, Device) and arg.type == _META:
        return CPU
    if isinstance(arg, tuple):
        return tuple(_arg(item) for item in arg)
    if isinstance(arg, dict):
        return {key: _arg(item) for key, item in arg.items()}
    return _graph(arg) if isinstance(arg, Graph) else arg


META_TO_CPU = Pass(
    "meta-to-cpu", meta_to_cpu, "Put a program that was exported on the meta device on the CPU."
)
