"""Whether a program's types hold at other sizes than its example's: its nodes run on torch's fake tensors.

The types do not hold where a value has another size than they say, or where an operator refuses.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from lowering.host.tensors import torch_dtype
from lowering.ir.facts.empty import takes_nothing
from lowering.ir.program import Node, Program, Ref
from lowering.ir.symbols import Scalar, SymbolError, evaluate
from lowering.ir.types import SymType, TensorType, ValueType
from lowering.targets.aten.routine import Routine


def size_problem(program: Program, symbols: Mapping[str, Scalar]) -> str:
    """The claim that does not hold at these sizes: a value's size, or an operator's acceptance of its
    arguments."""
    graph, bound = program.graph, dict(symbols)
    try:
        with _quiet(), FakeTensorMode(allow_non_fake_inputs=True):
            env = {
                item.name: _fake(graph.values[item.name], symbols)
                for item in graph.inputs
                if isinstance(item, Ref)
            }
            for node in graph.nodes:
                Routine(graph, [node], graph.values.keys())(env, bound)
                for name in node.results():
                    if problem := _difference(graph.values[name], env[name], bound):
                        return f"{name} {problem}"
                if not takes_nothing(node.target) and (empty := _empty(node, env)):
                    return f"{node.name} reads {empty}, which has no elements"
    except Exception as error:  # whatever an operator raises: ATen shall raise it, or show that it does not
        return " ".join(str(error).split())[:200] or type(error).__name__
    return ""


def _empty(node: Node, env: Mapping[str, Any]) -> str:
    """The first value without elements that a node reads."""
    return next((name for name in node.refs() if 0 in getattr(env.get(name), "shape", ())), "")


@contextmanager
def _quiet() -> Iterator[None]:
    """torch logs what its fake tensors refuse, which is an answer here."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


def _fake(type_: ValueType, symbols: Mapping[str, Scalar]) -> Any:
    """A value of this type without elements; in a mode of fake tensors."""
    if isinstance(type_, SymType):
        return evaluate(type_.value, symbols)
    if not isinstance(type_, TensorType):
        return None
    sizes = [int(evaluate(size, symbols)) for size in type_.sizes]
    strides = [int(evaluate(step, symbols)) for step in type_.strides]
    return torch.empty_strided(sizes, strides, dtype=torch_dtype(type_.dtype))


def _difference(type_: ValueType, value: Any, symbols: Mapping[str, Scalar]) -> str:
    """How a value differs from its type; sizes that only the data tells are not compared."""
    try:
        if isinstance(type_, SymType):
            said = evaluate(type_.value, symbols)
            return "" if said == value else f"is {value}, the program says {said}"
        if not isinstance(type_, TensorType):
            return ""
        sizes = [int(evaluate(size, symbols)) for size in type_.sizes]
    except SymbolError:
        return ""
    shape = list(value.shape)
    return "" if shape == sizes else f"has sizes {shape}, the program says {sizes}"
