"""Titles and lines of boxes and edges, as short text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import prod

from lowering.ir.program import InputKind, Node, OutputKind, OutputSpec, WeightSpec
from lowering.ir.text import print_type
from lowering.ir.types import ValueType

# Names come from a file, and may have any length.
_LONGEST = 80
_SHOWN_OPERATORS = 3
_SHOWN_TYPES = 2

#: The kinds of output that a caller gets.
RETURNED = (OutputKind.USER, OutputKind.LOSS)


def short(text: str) -> str:
    """The text in one line of bounded length."""
    line = "".join(char if char.isprintable() else " " for char in text)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def plural(count: int, noun: str) -> str:
    """`1 weight`, `2 weights`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def operator_name(target: str) -> str:
    """`linear` of `aten.linear.default`."""
    parts = target.split(".")
    return parts[1] if len(parts) == 3 and parts[0] == "aten" else target


def operators_line(nodes: Sequence[Node]) -> str:
    """The most frequent operators of some nodes, and how often each is called."""
    counts = Counter(operator_name(node.target) for node in nodes).most_common()
    shown = [f"{name} {count}" if count > 1 else name for name, count in counts[:_SHOWN_OPERATORS]]
    return short(", ".join(shown) + (", …" if len(counts) > _SHOWN_OPERATORS else ""))


def weights_line(weights: Sequence[WeightSpec]) -> str:
    """How many weights there are, and the number of elements of the parameters among them."""
    elements = sum(
        prod(size for size in spec.type.sizes if isinstance(size, int))
        for spec in weights
        if spec.kind is InputKind.PARAMETER
    )
    return plural(len(weights), "weight") + (f", {plural(elements, 'parameter')}" if elements else "")


def weight_line(spec: WeightSpec) -> str:
    """The last part of a weight's name, and its type."""
    return short(f"{(spec.fqn or spec.name).rpartition('.')[2]}: {print_type(spec.type)}")


def types_label(types: Iterable[ValueType | None]) -> str:
    """The types of the values of one edge; a number where there are many."""
    texts = [print_type(type_) for type_ in types]
    if len(texts) > _SHOWN_TYPES:
        return plural(len(texts), "value")
    return short(" and ".join(texts))


def output_title(spec: OutputSpec, index: int) -> str:
    """`output 0` of a returned value, or what it is written to."""
    if spec.kind in RETURNED:
        return f"output {index}"
    return short(f"{spec.kind.value.replace('_', ' ')} of {spec.destination}")
