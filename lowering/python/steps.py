"""The body of a forward: its steps in order, each an expression and the values that it gives."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lowering.ir.facts.higher_order import COND, is_map
from lowering.ir.program import Graph, Node, Output, Ref
from lowering.ir.types import SymType, TensorType
from lowering.python.calls import Call, Path, is_index
from lowering.python.errors import NoSource
from lowering.python.expressions import Expression, Number, Part, Use, argument, joined, number_text
from lowering.python.identifiers import Names, base_of, identifier
from lowering.python.regions import CLOSE, OPEN, opening
from lowering.python.spelling import Types, spelled

# The module that a weight is in, and its name there, by the value that carries it.
Weights = dict[str, tuple[Path, str]]


@dataclass(frozen=True, slots=True)
class Step:
    """One statement to be.

    `base`: a name for what it gives. `callee`: the path of the module that is called, below the one whose
    forward this is. `opens`, `closes`: it begins or ends a region. `function`: the one that it defines.
    """

    expression: Expression
    outputs: tuple[Output, ...]
    base: str
    callee: Path | None = None
    arguments: tuple[str, ...] = ()
    opens: bool = False
    closes: bool = False
    function: Function | None = None

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


@dataclass(frozen=True, slots=True)
class Function:
    """A graph that an operator runs, as a function; `returns`: the parts of the returned expression."""

    body: Body
    returns: tuple[Part, ...]

    def key(self) -> Hashable:
        """Equal for functions that are the same but for the names of values."""
        shape = tuple(part if isinstance(part, str) else "" for part in self.returns)
        return body_key(self.body, {}, ()), shape


# They trace the functions that they are given when they are exported.
RUNS_FUNCTIONS = frozenset((COND, "higher_order.while_loop", "higher_order.map_impl"))


def _running(node: Node, types: Types, roles: Mapping[str, str]) -> Iterator[Step]:
    """The functions that a node runs, and its call, which gives a tuple. `roles`: names for values.

    Raises NoSource for a map over no rows, which torch does not export.
    """
    operands = [item for a in node.args if isinstance(a.value, tuple) for item in a.value]
    rows = types.get(operands[0].name) if operands and isinstance(operands[0], Ref) else None
    if is_map(node.target) and isinstance(rows, TensorType) and rows.sizes[:1] == (0,):
        raise NoSource(f"{node.name}: {node.target} runs a graph on no rows")
    known = [roles.get(item.name) if isinstance(item, Ref) else None for item in operands]
    given: list[tuple[Part, ...]] = []
    for place, item in enumerate(node.args):
        if isinstance(item.value, Graph):
            # No value has such a name.
            given.append((Use(f"{node.name} {place}"),))
            yield Step(
                Expression(()),
                (f"{node.name} {place}",),
                re.sub(r"_\d+$", "", identifier(item.value.name, "function")),
                function=_function(item.value, known),
            )
        else:
            given.append(_fixed(argument(item.value)))
    results = tuple(
        item for output in node.outputs for item in (output if isinstance(output, tuple) else (output,))
    )
    yield Step(
        Expression((f"torch.ops.{node.target}(", *joined(given), ")")), (results,), base_of(node.target)
    )


def _function(graph: Graph, known: Sequence[str | None]) -> Function:
    """The function of a graph. `known`: names for its inputs. Raises NoSource for a constant among these."""
    taken = [item.name for item in graph.inputs if isinstance(item, Ref)]
    if len(taken) != len(graph.inputs):
        raise NoSource(f"{graph.name} takes a constant")
    roles = {name: role for name, role in zip(taken, known, strict=False) if role is not None}
    implied = implied_nodes(graph)
    steps: list[Step] = []
    for node in graph.nodes:
        if node.target in RUNS_FUNCTIONS:
            steps += _running(node, graph.values, roles)
        elif node.name not in implied:
            text = spelled(node, graph.values)
            steps.append(Step(Expression(_fixed(text.parts), text.level), node.outputs, base_of(node.target)))
    returns = _fixed(joined(argument(item) for item in graph.outputs))
    if not graph.returns_single:
        returns = ("(", *returns, ",)" if len(graph.outputs) == 1 else ")")
    results = tuple(part.value for part in returns if isinstance(part, Use))
    return Function(Body(tuple(steps), tuple(taken), results, roles), returns)


def _fixed(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Parts in which no number differs between modules of a class."""
    return tuple(number_text(part, None) if isinstance(part, Number) else part for part in parts)


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
            elif item.target in RUNS_FUNCTIONS:
                roles = {name: identifier(leaf, "weight") for name, (_, leaf) in weights.items()}
                steps += _running(item, types, roles)
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
        function = None if step.function is None else step.function.key()
        steps.append((parts, step.expression.level, outputs, step.callee, function))
    return tuple(steps), tuple(map(value, body.results)), len(body.arguments)


_CASTS = ("aten.to.device", "aten.to.dtype", "aten.to.dtype_layout")


def implied_nodes(graph: Graph) -> frozenset[str]:
    """Names of the checks of metadata that export puts before each cast by itself."""
    found: set[str] = set()
    for node, after in pairwise(graph.nodes):
        if node.target != "aten._assert_tensor_metadata.default" or after.target not in _CASTS:
            continue
        given = {a.name: a.value for a in node.args}
        subject = given.get("a")
        if not isinstance(subject, Ref) or subject != after.args[0].value:
            continue
        type_ = graph.values.get(subject.name)
        if isinstance(type_, TensorType) and given == {
            "a": subject,
            "dtype": type_.dtype,
            "device": type_.device,
            "layout": type_.layout,
        }:
            found.add(node.name)
    return frozenset(found)
