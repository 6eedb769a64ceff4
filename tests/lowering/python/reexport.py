"""Source run and exported again, and programs compared but for the names of values and for locations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from bridge.sources import read_exported
from lowering.ir.aten import schema
from lowering.ir.program import Arg, Graph, InputKind, Node, Output, Program, Ref
from lowering.ir.symbols import Apply, Symbol, Term, evaluate, free_symbols, to_text
from lowering.ir.tree import unflatten
from lowering.ir.tree_spec import NAMEDTUPLE, TreeSpec
from lowering.ir.types import Device, DType, Layout, MemoryFormat, SymKind, SymType, TensorType, ValueType

# torch takes these from the process that exports.
FROM_PROCESS = ("cudnn_enable", "cudnn_enabled")


def module_of(source: str, name: str) -> torch.nn.Module:
    """The model that source says."""
    namespace: dict[str, Any] = {"__name__": "generated"}
    exec(compile(source, "generated.py", "exec"), namespace)
    return namespace[name]()


def exported_again(program: Program, source: str, name: str, grad: bool = False) -> Program:
    """The program of the source's model, exported with inputs like this program's, strictly loaded."""
    spec = program.signature.in_spec
    args, kwargs = unflatten([_example(program, item) for item in _inputs(program)], spec)
    axes = unflatten([_axes(program, item) for item in _inputs(program)], spec)
    module = module_of(source, name)
    module.load_state_dict(state_dict(program), strict=True)
    dynamic: Any = None
    if any(_axes(program, item) for item in _inputs(program)):
        dynamic = (*axes[0], *axes[1].values())
    with torch.set_grad_enabled(grad):
        exported = torch.export.export(module, args, kwargs, dynamic_shapes=dynamic, strict=False)
    return read_exported(exported)[0]


def state_dict(program: Program) -> dict[str, torch.Tensor]:
    """Weights of the program's names, sizes and dtypes, but for those that a state dict lacks."""
    return {
        spec.fqn: torch.ones(spec.type.sizes, dtype=getattr(torch, spec.type.dtype.value))  # pyright: ignore
        for spec in program.weights.values()
        if spec.persistent and spec.kind is not InputKind.CONSTANT
    }


def _inputs(program: Program) -> list[Any]:
    return [s for s in program.signature.inputs if s.kind in (InputKind.USER, InputKind.LITERAL)]


def _value(program: Program, term: Term) -> Any:
    return evaluate(term, program.hints) if isinstance(term, Symbol | Apply) else term


def _example(program: Program, spec: Any) -> Any:
    if spec.kind is InputKind.LITERAL:
        return spec.literal
    type_ = program.graph.values[spec.name]
    if isinstance(type_, SymType):
        return _value(program, type_.value)
    assert isinstance(type_, TensorType)
    sizes = tuple(_value(program, size) for size in type_.sizes)
    strides = tuple(_value(program, stride) for stride in type_.strides)
    dtype = getattr(torch, type_.dtype.value)
    return torch.empty_strided(sizes, strides, dtype=dtype).zero_()


def _axes(program: Program, spec: Any) -> Any:
    if spec.kind is InputKind.LITERAL:
        return None
    type_ = program.graph.values[spec.name]
    if isinstance(type_, SymType):
        return torch.export.Dim.DYNAMIC if free_symbols(type_.value) else None  # pyright: ignore
    assert isinstance(type_, TensorType)
    axes = {axis: size for axis, size in enumerate(type_.sizes) if not isinstance(size, int)}
    return {axis: _dimension(program, size) for axis, size in axes.items()} or None


def _dimension(program: Program, size: Term) -> Any:
    """A dimension with the range that the program has, or one that torch finds."""
    range_ = program.ranges.get(size.name) if isinstance(size, Symbol) else None
    if range_ is None or range_.high is None or not isinstance(size, Symbol):
        return torch.export.Dim.AUTO
    return torch.export.Dim(f"d_{size.name}", min=range_.low, max=range_.high)


def canonical(program: Program) -> list[str]:
    """The program as lines that do not depend on names of values, locations or torch's process flags."""
    renamed = _Canonical(program)
    return list(renamed.lines())


class _Canonical:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.names: dict[str, str] = {}
        self.symbols: dict[str, str] = {}

    def lines(self) -> Iterator[str]:
        program = self.program
        graph = program.graph
        # Weights by name: a strict export lists them in the order of their first use.
        for spec in sorted(program.signature.inputs, key=lambda s: (s.fqn is None, s.fqn or "")):
            text = f"{spec.kind.value} {spec.fqn} {spec.persistent} {spec.literal!r}"
            yield f"{self.define(spec.name)} = {text}: {self.type(graph.values.get(spec.name))}"
        for node in graph.nodes:
            if not _is_empty(node):
                yield self.node(node, graph)
        for output in program.signature.outputs:
            # A weight goes by its full name, an input by its value's.
            destination = self.names.get(output.destination or "", output.destination)
            yield f"return {output.kind.value} {self.arg(output.value)} {destination}"
        specs = (_anonymous(program.signature.in_spec), _anonymous(program.signature.out_spec))
        yield f"{specs} {program.signature.argument_names}"
        known = ((self.symbols.get(name, ""), range_) for name, range_ in program.ranges.items())
        yield f"ranges {sorted(item for item in known if item[0])}"

    def define(self, name: str) -> str:
        self.names[name] = f"%{len(self.names)}"
        return self.names[name]

    def node(self, node: Node, graph: Graph) -> str:
        nested = [a.value for a in node.args if isinstance(a.value, Graph)]
        if nested:
            return self.running(node, nested, graph)
        operator = schema(node.target)
        bound = operator.bind(node.args) if operator else {str(i): a.value for i, a in enumerate(node.args)}
        args = ", ".join(f"{k}={self.arg(v)}" for k, v in bound.items() if k not in FROM_PROCESS)
        outputs = ", ".join(self.output(output, graph) for output in node.outputs)
        return f"{outputs} = {node.target}({args})"

    def running(self, node: Node, nested: list[Graph], graph: Graph) -> str:
        args = ", ".join("graph" if isinstance(a.value, Graph) else self.arg(a.value) for a in node.args)
        graphs = " ".join(f"{{{'; '.join(self.inner(item))}}}" for item in nested)
        outputs = ", ".join(self.output(output, graph) for output in node.outputs)
        return f"{outputs} = {node.target}({args}) {graphs}"

    def inner(self, graph: Graph) -> list[str]:
        outside, self.names = self.names, {}
        lines = [f"{self.define(item.name)}" if isinstance(item, Ref) else "" for item in graph.inputs]
        lines += [self.node(item, graph) for item in graph.nodes]
        lines += [self.arg(item) for item in graph.outputs]
        self.names = outside
        return lines

    def output(self, output: Output, graph: Graph) -> str:
        if isinstance(output, tuple):
            return f"[{', '.join(self.output(item, graph) for item in output)}]"
        return "none" if output is None else f"{self.define(output)}: {self.type(graph.values.get(output))}"

    def arg(self, value: Arg) -> str:
        if isinstance(value, Ref):
            return self.names[value.name]
        if isinstance(value, tuple):
            return f"[{', '.join(map(self.arg, value))}]"
        if isinstance(value, DType | Device | Layout | MemoryFormat):
            return str(value)
        if isinstance(value, str):
            # A message names the node that it is about.
            value = re.sub(r" on node '\w+'", "", value)
        return f"{type(value).__name__} {value!r}"

    def term(self, term: Term) -> str:
        if isinstance(term, Symbol):
            return self.symbols.setdefault(term.name, f"s{len(self.symbols)}")
        if isinstance(term, Apply):
            for name in sorted(free_symbols(term)):
                if name not in self.symbols:
                    self.symbols[name] = f"s{len(self.symbols)}"
            return to_text(_renamed(term, self.symbols))
        return repr(term)

    def type(self, type_: ValueType | None) -> str:
        if isinstance(type_, TensorType):
            sizes, strides = (f"[{', '.join(map(self.term, v))}]" for v in (type_.sizes, type_.strides))
            rest = replace(type_, sizes=(), strides=(), offset=0)
            return f"{sizes} {strides} {self.term(type_.offset)} {rest}"
        if isinstance(type_, SymType):
            value = type_.value
            return f"{type_.kind.value} {self.term(value)}" if type_.kind is not SymKind.BOOL else "bool"
        return str(type_)


def _anonymous(spec: TreeSpec) -> TreeSpec:
    """A structure whose namedtuples have no module: source defines them anew."""
    name = spec.context
    if spec.type == NAMEDTUPLE and name is not None:
        name = name.rpartition(".")[2]
    return replace(spec, context=name, children=tuple(map(_anonymous, spec.children)))


def _is_empty(node: Node) -> bool:
    """Whether a node is a region without nodes, which an export leaves where a mode is set again."""
    return any(isinstance(a.value, Graph) and not a.value.nodes for a in node.args) and not node.outputs


def _renamed(term: Term, symbols: dict[str, str]) -> Term:
    if isinstance(term, Symbol):
        return Symbol(symbols[term.name])
    if isinstance(term, Apply):
        return Apply(term.op, tuple(_renamed(arg, symbols) for arg in term.args))
    return term
