"""Programs and plans as JSON, exactly: `from_json(to_json(program)) == program`.

A value without a type in JSON is an object with one key, its type: `{"ref": "x"}`, `{"dtype": "float32"}`. A
list is a list. Sizes and guards are nested lists headed by the operator's name: `["Mul", 2, "s0"]`.
"""

from __future__ import annotations

import math
from typing import Any

from lowering.ir.json_reader import FORMAT, JSONError, from_json, plan_from_json
from lowering.ir.location import NO_LOCATION
from lowering.ir.plan import Plan
from lowering.ir.program import Arg, Graph, Node, Operator, Program, Ref
from lowering.ir.symbols import Apply, Symbol, Term
from lowering.ir.tree import TreeSpec
from lowering.ir.types import (
    Device,
    DType,
    Layout,
    MemoryFormat,
    ObjectType,
    SymType,
    TensorType,
    ValueType,
)

__all__ = ["FORMAT", "JSONError", "from_json", "plan_from_json", "plan_to_json", "to_json"]


def to_json(program: Program) -> dict[str, Any]:
    """A program as what `json.dumps` takes."""
    return {
        "format": FORMAT,
        "graph": _graph(program.graph),
        "signature": {
            "inputs": [
                [spec.kind.value, spec.name, spec.fqn, spec.persistent, _arg(spec.literal)]
                for spec in program.signature.inputs
            ],
            "outputs": [
                [spec.kind.value, _arg(spec.value), spec.destination] for spec in program.signature.outputs
            ],
            "in_spec": _tree(program.signature.in_spec),
            "out_spec": _tree(program.signature.out_spec),
            "argument_names": list(program.signature.argument_names),
        },
        "ranges": {name: [bounds.low, bounds.high] for name, bounds in program.ranges.items()},
        "hints": dict(program.hints),
        "guards": [[guard.text, term_to_json(guard.condition)] for guard in program.guards],
        "torch_version": program.torch_version,
        "schema_version": list(program.schema_version),
        "name": program.name,
    }


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """A plan as what `json.dumps` takes."""
    segments = [
        {
            "index": segment.index,
            "placement": segment.placement.value,
            "nodes": list(segment.nodes),
            "inputs": list(segment.inputs),
            "outputs": list(segment.outputs),
        }
        for segment in plan.segments
    ]
    return {"format": FORMAT, "segments": segments, "reasons": dict(plan.reasons)}


def _graph(graph: Graph) -> dict[str, Any]:
    return {
        "name": graph.name,
        "inputs": [_arg(item) for item in graph.inputs],
        "outputs": [_arg(item) for item in graph.outputs],
        "nodes": [_node(node) for node in graph.nodes],
        "values": {name: _type(type_) for name, type_ in graph.values.items()},
        "returns_single": graph.returns_single,
    }


def _node(node: Node) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": node.name,
        "target": node.target,
        "args": [[a.name, _arg(a.value), *([True] if a.keyword else [])] for a in node.args],
        "outputs": [list(item) if isinstance(item, tuple) else item for item in node.outputs],
    }
    if node.functional:
        data["functional"] = True
    if node.location != NO_LOCATION:
        data["location"] = [node.location.stack_trace, node.location.module_path]
    return data


def _arg(arg: Arg) -> Any:
    match arg:
        case None | bool() | int() | str():
            return arg
        case float():
            return arg if math.isfinite(arg) else {"float": str(arg)}
        case complex():
            return {"complex": [_arg(arg.real), _arg(arg.imag)]}
        case Ref():
            return {"ref": arg.name}
        case tuple():
            return [_arg(item) for item in arg]
        case dict():
            return {"dict": {key: _arg(item) for key, item in arg.items()}}
        case DType():
            return {"dtype": arg.value}
        case Layout():
            return {"layout": arg.value}
        case MemoryFormat():
            return {"memory_format": arg.value}
        case Device():
            return {"device": [arg.type, arg.index]}
        case Operator():
            return {"operator": arg.target}
        case _:
            return {"graph": _graph(arg)}


def term_to_json(term: Term) -> Any:
    """An expression as JSON: a name, a number, or an operator and its arguments."""
    if isinstance(term, Symbol):
        return term.name
    if isinstance(term, Apply):
        return [term.op, *(term_to_json(arg) for arg in term.args)]
    return _arg(term)


def _type(type_: ValueType) -> Any:
    match type_:
        case TensorType():
            data: dict[str, Any] = {
                "dtype": type_.dtype.value,
                "sizes": [term_to_json(size) for size in type_.sizes],
                "strides": [term_to_json(stride) for stride in type_.strides],
                "device": [type_.device.type, type_.device.index],
            }
            if type_.offset != 0:
                data["offset"] = term_to_json(type_.offset)
            if type_.layout is not Layout.STRIDED:
                data["layout"] = type_.layout.value
            if type_.requires_grad:
                data["requires_grad"] = True
            return data
        case SymType():
            return {"sym": type_.kind.value, "value": term_to_json(type_.value)}
        case ObjectType():
            return {"object": type_.class_name}
        case _:
            return {"token": True}


def _tree(tree: TreeSpec) -> Any:
    if tree == TreeSpec(None):
        return None
    return [tree.type, tree.context, list(tree.fields), *map(_tree, tree.children)]
