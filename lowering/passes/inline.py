"""Inlining of higher-order operators that do no more than run a graph, or set a mode without effect here."""

from __future__ import annotations

from dataclasses import replace

from lowering.ir.facts.higher_order import (
    AUTOCAST,
    INVOKE_SUBGRAPH,
    is_control_flow,
    only_runs_its_graph,
)
from lowering.ir.program import Arg, Graph, Node, Output, Ref, all_nodes, graphs_of
from lowering.ir.types import ValueType
from lowering.passes.autocast.casts import (
    Mode,
    cast_arguments,
    entered,
    in_regions,
    is_known,
)
from lowering.passes.errors import NotFunctional
from lowering.passes.program import graph_pass
from lowering.passes.rewriting import substitute, with_graphs


def inline(graph: Graph) -> Graph:
    """The graph, nested ones included, with these operators dissolved, and eager's casts under autocast.

    Gradients are not computed here, so that their mode is always without effect. An operator that makes casts
    of its own under autocast stays, in a region that holds it alone.
    """
    return _inlined(graph, {})


INLINE = graph_pass(
    "inline",
    inline,
    "Dissolve operators that only run a graph or set a mode; write out the casts that autocast makes.",
    # A write inside of such an operator to a tensor from outside is not functional.
    required=True,
)


def _inlined(graph: Graph, mode: Mode) -> Graph:
    if not mode and not _has_any(graph):
        return graph
    inliner = _Inliner(graph)
    for node in graph.nodes:
        inliner.visit(node, {}, mode)
    outputs = tuple(substitute(output, inliner.read) for output in graph.outputs)
    return replace(graph, nodes=tuple(inliner.nodes), outputs=outputs, values=inliner.values)


def _has_any(graph: Graph) -> bool:
    targets = {node.target for node in all_nodes(graph.nodes)}
    return AUTOCAST in targets or any(map(only_runs_its_graph, targets))


class _Inliner:
    def __init__(self, graph: Graph) -> None:
        self.nodes: list[Node] = []
        self.values: dict[str, ValueType] = dict(graph.values)
        self.taken = {*graph.values, *(node.name for node in graph.nodes)}
        # The values that replace results of dissolved nodes.
        self.known: dict[str, Arg] = {}

    def read(self, name: str) -> Arg:
        return self.known.get(name, Ref(name))

    def visit(self, node: Node, names: dict[str, Arg], mode: Mode) -> None:
        """Append a node, or the nodes that it wraps. `names`: the outside values of the names in the graph
        around it."""

        def read(name: str) -> Arg:
            return names[name] if name in names else self.read(name)

        args = tuple(a._replace(value=substitute(a.value, read)) for a in node.args)
        graph = _wrapped(replace(node, args=args))
        if graph is None:
            self.keep(replace(node, args=args), mode)
            return
        operands = _operands(replace(node, args=args), graph)
        if len(operands) != len(graph.inputs):
            raise NotFunctional(
                f"its graph takes {len(graph.inputs)} values, {len(operands)} are given", node
            )
        self.dissolve(node, graph, operands, names, entered(mode, node) if node.target == AUTOCAST else mode)

    def keep(self, node: Node, mode: Mode) -> None:
        """Append a node that wraps nothing; the graphs that it runs are in the same mode."""
        if node.target == AUTOCAST or (mode and any(graphs_of(node)) and not is_control_flow(node.target)):
            self.nodes += in_regions(node, mode, self.values)
            return
        node = with_graphs(node, lambda graph: _inlined(graph, mode))
        if is_control_flow(node.target):
            self.nodes.append(node)
        else:
            self.nodes += cast_arguments(node, mode, self.values, self.unique)

    def dissolve(
        self, node: Node, graph: Graph, operands: list[Arg], names: dict[str, Arg], mode: Mode
    ) -> None:
        inner: dict[str, Arg] = {}
        for item, operand in zip(graph.inputs, operands, strict=True):
            if isinstance(item, Ref):
                inner[item.name] = operand
        for inside in graph.nodes:
            renamed = {name: self.unique(name) for name in inside.results()}
            outputs = tuple(
                renamed[output]
                if isinstance(output, str)
                else output and tuple(item and renamed[item] for item in output)
                for output in inside.outputs
            )
            for name, new in renamed.items():
                self.values[new] = graph.values[name]
            self.visit(replace(inside, name=self.unique(inside.name), outputs=outputs), inner, mode)
            inner.update({name: self.read(new) for name, new in renamed.items()})
        results = [name for output in node.outputs for name in _flat(output)]
        returned = [substitute(output, lambda name: inner[name]) for output in graph.outputs]
        if len(results) != len(returned):
            raise NotFunctional(f"it returns {len(returned)} values, {len(results)} are named", node)
        for name, value in zip(results, returned, strict=True):
            if name is not None:
                self.values.pop(name, None)
                self.known[name] = value
                names[name] = value

    def unique(self, name: str) -> str:
        candidate, count = name, 0
        while candidate in self.taken:
            count += 1
            candidate = f"{name}_{count}"
        self.taken.add(candidate)
        return candidate


def _flat(output: Output) -> tuple[str | None, ...]:
    return output if isinstance(output, tuple) else (output,)


def _wrapped(node: Node) -> Graph | None:
    """The graph to put in the node's place, or None to keep the node."""
    graph = next((a.value for a in node.args if isinstance(a.value, Graph)), None)
    if graph is None or only_runs_its_graph(node.target):
        return graph
    if node.target != AUTOCAST:
        return None
    return graph if is_known(node) else None


def _operands(node: Node, graph: Graph) -> list[Arg]:
    """The operands of the graph: the arguments after it, or the list that comes after it."""
    position = next(i for i, argument in enumerate(node.args) if argument.value is graph)
    position += node.target == INVOKE_SUBGRAPH
    given = [argument.value for argument in node.args[position + 1 :] if not argument.keyword]
    return list(given[0]) if given and isinstance(given[0], tuple) else given
