"""Activations that a program spells out, as `0.5 * x * (1 + tanh(...))`, become one call of their operator.

Their values at some points in float64 identify them: models spell GELU by its tangent in half a dozen ways.
In eager each step of a spelled one is a pass over memory, and rounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import torch

from lowering.ir.program import Arg, Argument, Graph, Node, Ref
from lowering.ir.symbols import Dim
from lowering.ir.types import DType, TensorType
from lowering.ir.uses import producers, use_counts, users
from lowering.targets.aten import operators
from lowering.targets.aten.program import AtenPass, AtenProgram

# The operators that they are spelled with, the last of which is a product or a quotient.
_LAST = frozenset({"aten.mul.Tensor", "aten.div.Tensor"})
_STEPS = _LAST | {
    "aten.mul.Scalar",
    "aten.add.Tensor",
    "aten.add.Scalar",
    "aten.sub.Tensor",
    "aten.rsub.Scalar",
    "aten.neg.default",
    "aten.pow.Tensor_Scalar",
    "aten.square.default",
    "aten.tanh.default",
    "aten.erf.default",
    "aten.exp.default",
    "aten.sigmoid.default",
}
_MOST_STEPS = 16
_VIEWS = frozenset(
    f"aten.{name}"
    for name in (
        "view.default",
        "_unsafe_view.default",
        "reshape.default",
        "unsqueeze.default",
        "squeeze.dim",
    )
)
# The candidates: an operator, and its arguments beside the input.
_KNOWN: tuple[tuple[str, Mapping[str, Arg]], ...] = (
    ("aten.gelu.default", {"approximate": "tanh"}),
    ("aten.gelu.default", {"approximate": "none"}),
    ("aten.silu.default", {}),
)
# Activations that can be part of a layer, and oneDNN's names of them. Its relu and hardsigmoid make 0 of NaN.
FUSED = {
    f"aten.{name}{variant}.default": called
    for name, called in {
        "sigmoid": "sigmoid",
        "tanh": "tanh",
        "silu": "swish",
        "gelu": "gelu",
        "hardswish": "hardswish",
    }.items()
    for variant in ("", "_")
}
# Constants are written with ten digits.
_CLOSE = 1e-9


def recognise_activations(program: AtenProgram) -> AtenProgram:
    """The program with each activation that several nodes spell out as one node."""
    nodes, graph, returned = program.nodes, program.graph, set(program.outputs)
    makers = producers(node for node in nodes if node.target in _STEPS)
    used_in = users(nodes)
    made: dict[str, Node] = {}
    gone: set[str] = set()
    for last in nodes:
        if last.target not in _LAST:
            continue
        steps, inputs = _steps(last, makers)
        names = {step.name for step in steps}
        inner = [name for step in steps if step is not last for name in step.results()]
        ends = {user.name for name in inner for user in used_in[name]}
        if len(inputs) != 1 or not ends <= names or not returned.isdisjoint(inner):
            continue
        (of,) = inputs
        if _kind(graph, of) is not None and _kind(graph, of) == _kind(graph, next(last.results())):
            node = _recognised(last, steps, of)
            if node is not None:
                made[last.name] = node
                gone |= names
    left = (made.get(node.name, node) for node in nodes if node.name in made or node.name not in gone)
    return replace(program, nodes=tuple(left))


ACTIVATION_RECOGNITION = AtenPass(
    "activation-recognition", recognise_activations, "Call activations that nodes spell out."
)


def hoist_activations(program: AtenProgram) -> AtenProgram:
    """The program with each activation of a view, that nothing else reads, before the view.

    So the activation follows what makes the elements.
    """
    reads = use_counts(program.nodes)
    views = {
        name: node
        for node in program.nodes
        if node.target in _VIEWS
        for name in node.results()
        if reads[name] == 1 and name not in program.outputs
    }
    found: dict[str, tuple[Node, ...]] = {}
    for node in program.nodes:
        view = views.get(next(node.refs(), "")) if node.target in FUSED else None
        if view is not None:
            inner = f"{node.name}.inner"
            first = replace(_reading(node, next(view.refs())), name=inner, outputs=(inner,))
            found |= {view.name: (), node.name: (first, replace(_reading(view, inner), outputs=node.outputs))}
    nodes = (one for node in program.nodes for one in found.get(node.name, (node,)))
    return replace(program, nodes=tuple(nodes))


ACTIVATION_HOISTING = AtenPass("activation-hoisting", hoist_activations, "Move activations before views.")


def _reading(node: Node, name: str) -> Node:
    """The node on another value than its first."""
    first, *others = node.args
    return replace(node, args=(first._replace(value=Ref(name)), *others))


def _steps(last: Node, makers: Mapping[str, Node]) -> tuple[list[Node], set[str]]:
    """The nodes that lead to this one, in order, within the limit of steps; and their starting values."""
    steps: dict[str, Node] = {}
    inputs: set[str] = set()

    def visit(node: Node) -> None:
        if node.name in steps or len(steps) > _MOST_STEPS:
            return
        for name in node.refs():
            if name in makers:
                visit(makers[name])
            else:
                inputs.add(name)
        steps[node.name] = node

    visit(last)
    return (list(steps.values()), inputs) if len(steps) <= _MOST_STEPS else ([last], set())


def _recognised(last: Node, steps: Sequence[Node], of: str) -> Node | None:
    """The node of the operator that computes what these steps do; None if none does, or there is one step."""
    if len(steps) < 2:
        return None
    values = {of: _points()}
    for step in steps:
        given = {
            name: values[value.name] if isinstance(value, Ref) else operators.constant(value)
            for name, value in operators.given(step).items()
        }
        values[next(step.results())] = operators.resolve(step.target)(**given)
    found = values[next(last.results())]
    for target, more in _KNOWN:
        expected = operators.resolve(target)(_points(), **more)
        if torch.allclose(found, expected, rtol=_CLOSE, atol=_CLOSE):
            given = (Argument(name, value, True) for name, value in more.items())
            return replace(last, target=target, args=(Argument("self", Ref(of), False), *given))
    return None


@cache
def _points() -> torch.Tensor:
    return torch.linspace(-8, 8, 97, dtype=torch.float64)


def _kind(graph: Graph, name: str) -> tuple[DType, tuple[Dim, ...]] | None:
    """Element type and sizes of a tensor of floating point."""
    type_ = graph.values.get(name)
    if not isinstance(type_, TensorType) or not type_.dtype.is_floating:
        return None
    return type_.dtype, type_.sizes
