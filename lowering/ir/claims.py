"""Claims of the exporter about sizes and numbers, in the program's words rather than in symbols."""

from __future__ import annotations

import re
from typing import NamedTuple

from lowering.ir.program import Graph, Node
from lowering.ir.symbol_parser import parse_guard
from lowering.ir.symbols import Symbol, SymbolError, free_symbols, substituted, to_text
from lowering.ir.types import SymType, TensorType
from lowering.ir.unbacked import binders
from lowering.ir.uses import input_names

_TEXT = re.compile(r"Runtime assertion failed for expression (.+) on node '\w+'")


class Claim(NamedTuple):
    """A condition in words. `words`: what each symbol is called. `where`: the source lines of what gave them,
    in parentheses after a space, or nothing."""

    text: str
    words: dict[str, str]
    where: str


def claim(message: str, graph: Graph) -> Claim | None:
    """The exporter's `... failed for expression u0 <= 10 ...` as `item <= 10`, where `item` is the node that
    found u0; None where the message says other things."""
    match = _TEXT.fullmatch(message)
    if match is None:
        return None
    try:
        condition = parse_guard(match[1])
    except SymbolError:
        return None
    found_by = binders(graph)
    nodes = {node.name: node for node in graph.nodes}
    words: dict[str, str] = {}
    places: dict[str, None] = {}
    for name in sorted(free_symbols(condition)):
        node = nodes.get(found_by.get(name, ""))
        words[name] = _access(graph, node, name) if node is not None else _size(graph, name)
        if node is not None and str(node.location):
            places[str(node.location)] = None
    text = to_text(substituted(condition, {name: Symbol(word) for name, word in words.items()}))
    return Claim(text, words, f" ({', '.join(places)})" if places else "")


def _access(graph: Graph, node: Node, symbol: str) -> str:
    """The source of a node's symbol: `item`, `nonzero.size(0)`."""
    return _shown(graph, list(node.results()), symbol) or symbol


def _size(graph: Graph, symbol: str) -> str:
    """The input's size that shows a symbol: `x.size(0)`."""
    return _shown(graph, input_names(graph), symbol) or symbol


def _shown(graph: Graph, names: list[str], symbol: str) -> str | None:
    for name in names:
        type_ = graph.values.get(name)
        if isinstance(type_, SymType) and type_.value == Symbol(symbol):
            return name
        if isinstance(type_, TensorType) and Symbol(symbol) in type_.sizes:
            return f"{name}.size({type_.sizes.index(Symbol(symbol))})"
    return None
