"""How many bytes of a call's values are alive at a time, when its nodes run one after another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from lowering.ir.aten import SchemaError, schema
from lowering.ir.facts.flops import sizes_of
from lowering.ir.program import Graph, Node, graphs_of
from lowering.ir.symbols import Scalar
from lowering.ir.types import TensorType, ValueType
from lowering.ir.uses import output_names
from lowering.ir.views import View, relations

Symbols = Mapping[str, Scalar]


@dataclass(frozen=True, slots=True)
class Work:
    """A part of a call. `views`: of the values that it makes, those that share memory, by name, and with
    what. `nbytes`: the memory that it takes while it runs, beside its values."""

    reads: tuple[str, ...]
    makes: tuple[str, ...]
    views: Mapping[str, str] = field(default_factory=dict)
    nbytes: int = 0


def bytes_of(type_: ValueType | None, symbols: Symbols) -> int:
    """The elements of a tensor; 0 for what is not one, and for sizes that are not known."""
    sizes = sizes_of(type_, symbols)
    return prod(sizes) * type_.dtype.itemsize if isinstance(type_, TensorType) and sizes is not None else 0


def works(nodes: Iterable[Node], graph: Graph, symbols: Symbols) -> Iterator[Work]:
    """A part per node. A nested graph takes what is alive in it, its results included."""
    for node in nodes:
        nested = max((_nested(inner, symbols) for inner in graphs_of(node)), default=0)
        yield Work(tuple(node.refs()), tuple(node.results()), _views(node, graph), nested)


def peak(graph: Graph, parts: Sequence[Work], symbols: Symbols) -> int:
    """The most bytes alive at a time of values that these parts make, and of what they take besides.

    The graph's results are left out. A value is alive from where it is made to the last part that reads it or
    a view of it.
    """
    return _peak(graph, parts, symbols, set(output_names(graph)))


def results(graph: Graph, parts: Sequence[Work], symbols: Symbols) -> int:
    """The bytes of the graph's results that these parts make; those that share memory count once."""
    roots = _roots(parts)
    returned = {roots[name] for name in output_names(graph) if name in roots}
    return sum(bytes_of(graph.values.get(name), symbols) for name in returned & _made(parts))


def _peak(graph: Graph, parts: Sequence[Work], symbols: Symbols, returned: set[str]) -> int:
    roots = _roots(parts)
    counted = _made(parts) - {roots.get(name, name) for name in returned}
    last = {roots[name]: at for at, part in enumerate(parts) for name in (*part.reads, *part.makes)}
    alive = most = 0
    dying: dict[int, int] = {}
    for at, part in enumerate(parts):
        for name in dict.fromkeys(roots[name] for name in part.makes):
            # A view's root came before.
            if name in counted and name in part.makes:
                size = bytes_of(graph.values.get(name), symbols)
                alive += size
                dying[last[name]] = dying.get(last[name], 0) + size
        most = max(most, alive + part.nbytes)
        alive -= dying.pop(at, 0)
    return most


def _made(parts: Iterable[Work]) -> set[str]:
    """Names of the values that have memory of their own."""
    return {name for part in parts for name in part.makes if name not in part.views}


def _roots(parts: Iterable[Work]) -> dict[str, str]:
    """By value, the one whose memory it shares; its own name where it shares none."""
    roots: dict[str, str] = {}
    for part in parts:
        for name in (*part.reads, *part.makes):
            source = part.views.get(name, name)
            roots.setdefault(name, roots.get(source, source))
    return roots


def _nested(graph: Graph, symbols: Symbols) -> int:
    return _peak(graph, list(works(graph.nodes, graph, symbols)), symbols, set())


def _views(node: Node, graph: Graph) -> dict[str, str]:
    """The results of a node that certainly share memory, each with its source."""
    found = None if node.functional else schema(node.target)
    if found is None:
        return {}
    try:
        bound = found.bind(node.args)
    except SchemaError:
        return {}
    related = relations(node, found, bound, graph.values)
    return {name: relation.source for name, relation in related.items() if isinstance(relation, View)}
