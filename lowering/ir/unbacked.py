"""Symbols whose values only the data gives: the nodes that bind them and depend on them.

A node binds a symbol if the symbol appears in its results and in nothing before. A symbol that sizes tensors
is known to the executor once that node has run. Any other is a number: a value like a tensor's, which
segments compute and pass on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Set

from lowering.ir.facts.data import depends_on_data
from lowering.ir.plan import Segment
from lowering.ir.program import Graph, Node, Program, graphs_of
from lowering.ir.symbols import free_symbols, is_unbacked
from lowering.ir.types import SymType, TensorType, ValueType
from lowering.ir.uses import input_names

# The sizes from the data that a trial emission assumes: torch, too, assumes neither 0 nor 1.
_TYPICAL = 2


def unbacked(type_: ValueType | None) -> frozenset[str]:
    """The symbols from data in a type: its sizes, strides and offset, or its value."""
    if isinstance(type_, TensorType):
        terms = (*type_.sizes, *type_.strides, type_.offset)
    elif isinstance(type_, SymType):
        terms = (type_.value,)
    else:
        return frozenset()
    # Most types are of integers alone, and every value of a program is asked for.
    symbolic = [term for term in terms if not isinstance(term, int)]
    return frozenset(name for term in symbolic for name in free_symbols(term) if is_unbacked(name))


def sizing(graph: Graph) -> frozenset[str]:
    """The symbols from data that the sizes or strides of tensors depend on, here or in a nested graph."""
    found: set[str] = set()
    for type_ in graph.values.values():
        if isinstance(type_, TensorType):
            for term in (*type_.sizes, *type_.strides):
                if not isinstance(term, int):
                    found.update(filter(is_unbacked, free_symbols(term)))
    for node in graph.nodes:
        for inner in graphs_of(node):
            found |= sizing(inner)
    return frozenset(found)


def is_number(graph: Graph, name: str, sizing_symbols: Set[str]) -> bool:
    """Whether a value is a Python number from data that is passed on as a value, and not by its symbols.

    `sizing_symbols`: as `sizing` gives them.
    """
    type_ = graph.values.get(name)
    return isinstance(type_, SymType) and not unbacked(type_) <= sizing_symbols


def binders(graph: Graph) -> dict[str, str]:
    """By symbol from data: the name of the node that binds it, empty if an input shows it."""
    found = {symbol: "" for name in input_names(graph) for symbol in sorted(unbacked(graph.values.get(name)))}
    for node in graph.nodes:
        for symbol in sorted(symbols_of_node(graph, node, reads=False)):
            found.setdefault(symbol, node.name)
    return found


def symbols_of_node(graph: Graph, node: Node, reads: bool = True) -> frozenset[str]:
    """The symbols from data in the types of what a node makes and, with `reads`, of what it reads."""
    names = (*node.results(), *node.refs()) if reads else tuple(node.results())
    return frozenset().union(*(unbacked(graph.values.get(name)) for name in names))


def gives_number(graph: Graph, node: Node) -> bool:
    """Whether a node takes a Python number out of the data, as `item()` does."""
    types = [graph.values.get(name) for name in node.results()]
    return any(isinstance(type_, SymType) for type_ in types) and depends_on_data(node.target)


def typical_sizes(program: Program) -> dict[str, int]:
    """A value for every integer from data that sizes tensors of the main graph, to try nodes with; within its
    range."""
    sizes: dict[str, int] = {}
    wanted = sizing(program.graph)
    for symbol in binders(program.graph):
        if symbol in wanted and re.fullmatch(r"u\d+", symbol):
            bounds = program.ranges.get(symbol)
            low = max(_TYPICAL, bounds.low or 0) if bounds else _TYPICAL
            sizes[symbol] = low if bounds is None or bounds.high is None else min(low, bounds.high)
    return sizes


def symbols_of(graph: Graph, inputs: Iterable[str], nodes: Iterable[Node]) -> tuple[str, ...]:
    """The symbols that the types of a segment's values, and so its module, depend on, sorted.

    `inputs`: names of the values that it takes.
    """
    found = set(_symbols(graph, inputs, nodes))
    if any(map(is_unbacked, found)):
        wanted = sizing(graph)
        found = {name for name in found if name in wanted or not is_unbacked(name)}
    return tuple(sorted(found))


def _symbols(graph: Graph, inputs: Iterable[str], nodes: Iterable[Node]) -> Iterator[str]:
    names = [*inputs, *(name for node in nodes for name in (*node.refs(), *node.results()))]
    for name in dict.fromkeys(names):
        type_ = graph.values.get(name)
        if isinstance(type_, TensorType):
            for size in type_.sizes:
                yield from free_symbols(size)
        elif isinstance(type_, SymType):
            yield from free_symbols(type_.value)


def has_data_sizes(program: Program, segment: Segment) -> bool:
    """Whether a segment's module depends on what only the data gives."""
    wanted = set(segment.nodes)
    nodes = [node for node in program.graph.nodes if node.name in wanted]
    return any(map(is_unbacked, symbols_of(program.graph, segment.inputs, nodes)))
