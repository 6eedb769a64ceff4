"""One tensor that goes by several names becomes one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lowering.ir.program import Graph, Program, Ref, Signature
from lowering.ir.weights import Weights, WeightView
from lowering.passes.pipeline import Pass
from lowering.passes.program import with_graph
from lowering.passes.rewriting import substitute


def merge_tied_weights(weights: Weights | None) -> Pass[Program]:
    """The pass for a program with these weights, or for one of whose weights nothing is known."""

    def run(program: Program) -> Program:
        same = same_weights(program.signature, weights)
        return with_graph(program, merged(program.graph, same)) if same else program

    return Pass(
        "merge-tied-weights",
        run,
        "Replace every use of a weight that is another one under a second name.",
        required=True,
    )


def same_weights(signature: Signature, weights: Weights | None) -> dict[str, str]:
    """For each input that is the very same tensor as an earlier one, under another name, that one."""
    if weights is None:
        return {}
    first: dict[WeightView, str] = {}
    same: dict[str, str] = {}
    for spec in signature.inputs:
        view = weights.views.get(spec.fqn) if spec.fqn is not None else None
        if view is not None and first.setdefault(view, spec.name) != spec.name:
            same[spec.name] = first[view]
    return same


def merged(graph: Graph, same: Mapping[str, str]) -> Graph:
    """The graph with every use of one of these inputs replaced by a use of the other."""

    def read(name: str) -> Ref:
        return Ref(same.get(name, name))

    nodes = tuple(
        replace(node, args=tuple(a._replace(value=substitute(a.value, read)) for a in node.args))
        if any(name in same for name in node.refs())
        else node
        for node in graph.nodes
    )
    return replace(graph, nodes=nodes, outputs=tuple(substitute(o, read) for o in graph.outputs))
