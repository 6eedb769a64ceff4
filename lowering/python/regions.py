"""Regions of a mode, of gradients or of autocast, as nodes between an opening and a closing one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from lowering.ir.facts.higher_order import AUTOCAST, GRAD
from lowering.ir.location import Location
from lowering.ir.program import (
    Arg,
    Argument,
    Graph,
    Node,
    Output,
    Program,
    Ref,
)
from lowering.ir.types import ValueType
from lowering.python.errors import NoSource
from lowering.python.expressions import literal

OPEN, CLOSE = "region.open", "region.close"


def flattened(program: Program) -> Program:
    """The program with the nodes of its regions in the places of these."""
    if not any(node.target in (GRAD, AUTOCAST) for node in program.nodes):
        return program
    flat = _Flat(program.graph)
    flat.add(program.graph, {})
    outputs = tuple(
        replace(spec, value=_substituted(spec.value, flat.known)) for spec in program.signature.outputs
    )
    graph = replace(program.graph, nodes=tuple(flat.nodes), values=flat.values)
    return replace(program, graph=graph, signature=replace(program.signature, outputs=outputs))


class _Flat:
    def __init__(self, graph: Graph) -> None:
        self.nodes: list[Node] = []
        self.values: dict[str, ValueType] = dict(graph.values)
        # The values that replace names of the outermost graph.
        self.known: dict[str, Arg] = {}
        self._count = 0

    def add(self, graph: Graph, names: dict[str, Arg]) -> None:
        """Add a graph's nodes. `names`: what stands for the names in it."""
        for node in graph.nodes:
            args = tuple(a._replace(value=_substituted(a.value, names)) for a in node.args)
            if node.target in (GRAD, AUTOCAST):
                self._region(replace(node, args=args), names)
            else:
                outputs = tuple(_renamed(output, names) for output in node.outputs)
                self.nodes.append(
                    replace(node, name=f"{node.name}.{len(self.nodes)}", args=args, outputs=outputs)
                )

    def _region(self, node: Node, names: dict[str, Arg]) -> None:
        place = next((i for i, a in enumerate(node.args) if isinstance(a.value, Graph)), None)
        graph = None if place is None else node.args[place].value
        if place is None or not isinstance(graph, Graph):
            raise NoSource(f"{node.name}: {node.target} has no graph")
        operands = [a.value for a in node.args[place + 1 :]]
        results = [item for output in node.outputs for item in _flat(output)]
        if len(operands) != len(graph.inputs) or len(results) != len(graph.outputs):
            raise NoSource(f"{node.name}: {node.target} does not fit its graph")
        inner: dict[str, Arg] = {
            item.name: operand
            for item, operand in zip(graph.inputs, operands, strict=True)
            if isinstance(item, Ref)
        }
        given = {value.name for value in inner.values() if isinstance(value, Ref)}
        for output, result in zip(graph.outputs, results, strict=True):
            if result is not None and isinstance(output, Ref) and output.name not in inner:
                inner[output.name] = Ref(self._outer(result, names))
        for name, type_ in graph.values.items():
            if name not in inner:
                self._count += 1
                inner[name] = Ref(f"{name}.{self._count}")
            value = inner[name]
            if isinstance(value, Ref) and value.name not in given:
                self.values[value.name] = type_
        location = Location("", _common(graph))
        setting = tuple(node.args[:place])
        self.nodes.append(
            Node(f"{node.name}.open", OPEN, (*setting, Argument("", node.target)), (), location)
        )
        self.add(graph, inner)
        self.nodes.append(Node(f"{node.name}.close", CLOSE, (), (), location))
        for output, result in zip(graph.outputs, results, strict=True):
            if result is not None:
                names[result] = self.known[result] = _substituted(output, inner)

    def _outer(self, result: str, names: Mapping[str, Arg]) -> str:
        value = names.get(result)
        return value.name if isinstance(value, Ref) else result


def _flat(output: Output) -> tuple[str | None, ...]:
    return output if isinstance(output, tuple) else (output,)


def _substituted(value: Arg, names: Mapping[str, Arg]) -> Arg:
    if isinstance(value, Ref):
        return names.get(value.name, value)
    if isinstance(value, tuple):
        return tuple(_substituted(item, names) for item in value)
    return value


def _renamed(output: Output, names: Mapping[str, Arg]) -> Output:
    if isinstance(output, tuple):
        return tuple(None if item is None else _name(item, names) for item in output)
    return None if output is None else _name(output, names)


def _name(name: str, names: Mapping[str, Arg]) -> str:
    value = names.get(name)
    return value.name if isinstance(value, Ref) else name


def _paths(graph: Graph) -> Iterator[list[str]]:
    for node in graph.nodes:
        nested = [a.value for a in node.args if isinstance(a.value, Graph)]
        if nested and node.target in (GRAD, AUTOCAST):
            yield from _paths(nested[0])
        else:
            yield node.location.module_path.split(".")


def _common(graph: Graph) -> str:
    """The path of the innermost module that all of a graph's nodes are in."""
    paths = list(_paths(graph))
    if not paths:
        return ""
    common = paths[0]
    for path in paths[1:]:
        size = next((i for i, (a, b) in enumerate(zip(common, path, strict=False)) if a != b), None)
        common = common[: min(len(common), len(path)) if size is None else size]
    return ".".join(common)


def opening(node: Node) -> str:
    """The statement that begins a region."""
    *setting, kind = (a.value for a in node.args)
    texts = [literal(value) for value in setting]
    if kind == GRAD and len(texts) == 1:
        return f"with torch.set_grad_enabled({texts[0]}):"
    if kind == AUTOCAST and len(texts) == 4:
        device, dtype, enabled, cached = texts
        return f"with torch.autocast({device}, {dtype}, {enabled}, {cached}):"
    raise NoSource(f"{node.name}: {kind} has other settings than are known")
