"""Operators with effects as `run_decompositions` writes them: with a token from each to the next.

The tokens keep their order. Here nodes with effects keep the order of the graph, so that tokens say nothing.
"""

from __future__ import annotations

from dataclasses import replace

from lowering.ir.aten import schema
from lowering.ir.program import InputKind, Node, Operator, OutputKind, Program, Ref
from lowering.passes.pipeline import Pass
from lowering.passes.rewriting import defined_values

_WITH_EFFECTS = "higher_order.with_effects"


def dissolve_effects(program: Program) -> Program:
    """The program without tokens; the same where a token goes to what is not an operator."""
    signature, graph = program.signature, program.graph
    given = [spec.kind is not InputKind.TOKEN for spec in signature.inputs]
    returned = [spec.kind is not OutputKind.TOKEN for spec in signature.outputs]
    if all(given) or not _are_only_passed_on(program):
        return program
    nodes = tuple(_called(node) if node.target == _WITH_EFFECTS else node for node in graph.nodes)
    inputs = tuple(item for item, keep in zip(graph.inputs, given, strict=True) if keep)
    outputs = tuple(item for item, keep in zip(graph.outputs, returned, strict=True) if keep)
    values = defined_values(inputs, nodes, graph.values)
    return replace(
        program,
        graph=replace(graph, inputs=inputs, outputs=outputs, nodes=nodes, values=values),
        signature=replace(
            signature,
            inputs=tuple(spec for spec, keep in zip(signature.inputs, given, strict=True) if keep),
            outputs=tuple(spec for spec, keep in zip(signature.outputs, returned, strict=True) if keep),
        ),
    )


DISSOLVE_EFFECTS = Pass(
    "dissolve-effects",
    dissolve_effects,
    "Turn operators that tokens put in order into plain calls in that order.",
    # Nobody gives a program a token.
    required=True,
)


def _are_only_passed_on(program: Program) -> bool:
    """Whether each token is read only by calls of operators, as their first argument, and as a result."""
    tokens = {spec.name for spec in program.signature.inputs if spec.kind is InputKind.TOKEN}
    for node in program.graph.nodes:
        read = list(node.refs())
        if node.target == _WITH_EFFECTS and len(node.args) > 1:
            token, operator = node.args[0].value, node.args[1].value
            if isinstance(token, Ref) and token.name in tokens and isinstance(operator, Operator):
                read.remove(token.name)
                tokens.update(name for name in node.outputs[:1] if isinstance(name, str))
        if not tokens.isdisjoint(read):
            return False
    results = zip(program.signature.outputs, program.graph.outputs, strict=True)
    return all(
        spec.kind is OutputKind.TOKEN or not isinstance(item, Ref) or item.name not in tokens
        for spec, item in results
    )


def _called(node: Node) -> Node:
    """The call itself, its arguments by name as an exporter writes them."""
    operator, given, outputs = node.args[1].value, node.args[2:], node.outputs[1:]
    assert isinstance(operator, Operator)
    found = schema(operator.target)
    if found is not None and len(given) <= len(found.parameters):
        names = [parameter.name for parameter in found.parameters[: len(given)]]
        given = tuple(
            argument if argument.name else argument._replace(name=name)
            for argument, name in zip(given, names, strict=True)
        )
    if found is not None and not found.returns:
        outputs = ()
    return replace(node, target=operator.target, args=given, outputs=outputs)
