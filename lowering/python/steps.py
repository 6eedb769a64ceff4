"""The body of a forward: its steps in order, each an expression and the values that it gives."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lowering.ir.program import Node, Output, Program, Ref
from lowering.ir.types import SymType, TensorType
from lowering.python.calls import Call, Path, is_index
from lowering.python.expressions import Expression, Number, Part, Use, joined
from lowering.python.identifiers import Names, base_of, identifier
from lowering.python.regions import CLOSE, OPEN, opening
from lowering.python.spelling import Types, spelled

# The module that a weight is in, and its name there, by the value that carries it.
Weights = dict[str, tuple[Path, str]]


@dataclass(frozen=True, slots=True)
class Step:
    """One statement to be.

    `base`: a name for what it gives. `callee`: the path of the module that is called, below the one whose
    forward this is. `opens`, `closes`: it begins or ends a region.
    """

    expression: Expression
    outputs: tuple[Output, ...]
    base: str
    callee: Path | None = None
    arguments: tuple[str, ...] = ()
    opens: bool = False
    closes: bool = False

    def results(self) -> Iterator[str]:
        """The values that it gives."""
        for output in self.outputs:
            yield from (item for item in (output if isinstance(output, tuple) else (output,)) if item)


@dataclass(frozen=True, slots=True)
class Body:
    """The steps of a forward, what it takes and what it returns."""

    steps: tuple[Step, ...]
    arguments: tuple[str, ...]
    results: tuple[str, ...]
    # Names for values, by their roles where they are read.
    roles: dict[str, str]

    def argument_names(self) -> dict[str, str]:
        """The names of its arguments, by value."""
        names = Names()
        return {
            value: names.fresh(self.roles.get(value, "x" if index == 0 else "value"))
            for index, value in enumerate(self.arguments)
        }

    def numbers(self) -> list[Number]:
        """The numbers of its expressions, in order."""
        return [number for step in self.steps for number in step.expression.numbers()]


def body_of(
    call: Call,
    weights: Weights,
    types: Types,
    implied: frozenset[str],
    access: Callable[[Path], str],
    taken: Callable[[Path], Sequence[str]],
) -> Body:
    """The body of a call. `implied`: names of nodes that export adds itself. `access`: text of a path.
    `taken`: names of a module's arguments.
    """
    steps: list[Step] = []
    path = call.module.path
    for item in call.items:
        if isinstance(item, Node):
            if item.target == OPEN:
                steps.append(Step(Expression((opening(item),)), (), "", opens=True))
            elif item.target == CLOSE:
                steps.append(Step(Expression(()), (), "", closes=True))
            elif item.name not in implied:
                steps.append(Step(spelled(item, types), item.outputs, base_of(item.target)))
        else:
            below = item.module.path[len(path) :]
            parts: tuple[Part, ...] = joined((Use(name),) for name in item.arguments)
            text = Expression((f"self{access(item.module.path)[len(access(path)) :]}(", *parts, ")"))
            steps.append(
                Step(text, item.outputs or tuple(item.results), _base(below), below, tuple(item.arguments))
            )
    free = _free(steps, weights, path)
    roles = {name: identifier(weights[name][1], "weight") for name in free if name in weights}
    roles |= {name: "size" for name in free if isinstance(types.get(name), SymType)}
    for step in steps:
        parts = step.expression.parts
        if step.callee is not None:
            for name, role in zip(step.arguments, taken((*path, *step.callee)), strict=False):
                if not re.fullmatch(r"(x|value)(_\d+)?", role):
                    roles.setdefault(name, re.sub(r"_\d+$", "", role))
        for before, part in pairwise(parts):
            if isinstance(part, Use) and isinstance(before, str) and before.endswith("attn_mask="):
                roles.setdefault(part.value, "attn_mask")
    return Body(tuple(steps), free, tuple(call.results), roles)


def _base(callee: Path) -> str:
    """A name for the result of a module."""
    words = [name for name in callee if not is_index(name)]
    return identifier(words[-1].lower(), "block") if words else "block"


def _free(steps: Sequence[Step], weights: Weights, path: Path) -> tuple[str, ...]:
    made: set[str] = set()
    free: dict[str, None] = {}
    for step in steps:
        for name in step.expression.uses():
            inside = name in weights and weights[name][0][: len(path)] == path
            if name not in made and not inside:
                free[name] = None
        made.update(step.results())
    return tuple(free)


def body_key(body: Body, weights: Weights, path: Path) -> Hashable:
    """Equal for bodies that are the same but for the names of values and for numbers."""
    numbered: dict[str, int] = {name: index for index, name in enumerate(body.arguments)}

    def value(name: str | None) -> Hashable:
        if name is None:
            return None
        if name in weights and name not in numbered:
            module, leaf = weights[name]
            return (*module[len(path) :], leaf)
        return numbered.setdefault(name, len(numbered))

    steps: list[Hashable] = []
    for step in body.steps:
        parts = tuple(
            (value(part.value), part.level)
            if isinstance(part, Use)
            else (part.name, part.level)
            if isinstance(part, Number)
            else part
            for part in step.expression.parts
        )
        outputs = tuple(
            tuple(map(value, output)) if isinstance(output, tuple) else value(output)
            for output in step.outputs
        )
        steps.append((parts, step.expression.level, outputs, step.callee))
    return tuple(steps), tuple(map(value, body.results)), len(body.arguments)


_CASTS = ("aten.to.device", "aten.to.dtype", "aten.to.dtype_layout")


def implied_nodes(program: Program) -> frozenset[str]:
    """Names of the checks of metadata that export puts before each cast by itself."""
    found: set[str] = set()
    for node, after in pairwise(program.nodes):
        if node.target != "aten._assert_tensor_metadata.default" or after.target not in _CASTS:
            continue
        given = {a.name: a.value for a in node.args}
        subject = given.get("a")
        if not isinstance(subject, Ref) or subject != after.args[0].value:
            continue
        type_ = program.graph.values.get(subject.name)
        if isinstance(type_, TensorType) and given == {
            "a": subject,
            "dtype": type_.dtype,
            "device": type_.device,
            "layout": type_.layout,
        }:
            found.add(node.name)
    return frozenset(found)
