"""From reasons to a plan: which nodes run as StableHLO segments, which on ATen.

Each node gets a level, its segment's number: StableHLO and ATen take turns, and a node has the first level
of its own kind that is not before those of what it reads. So a segment is convex by construction, there are
no more of them than the longest chain of alternations needs, and an ATen node that nothing waits for does not
cut what surrounds it. Of the two that may come first the one with fewer segments wins. A StableHLO segment
that is too small joins a later one if what reads it can wait, and else the ATen nodes around it.

A pass over the nodes is linear; each round of moving small segments makes one more.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from lowering.emit import NO_CODE
from lowering.ir.aten import schema
from lowering.ir.plan import Placement, Plan, Segment
from lowering.ir.program import Graph, Node, Program, refs_of
from lowering.ir.symbols import Apply, Symbol, free_symbols, is_unbacked
from lowering.ir.types import SymType, TensorType

# A StableHLO segment between ATen ones with fewer nodes that compute costs more to enter and leave than it
# saves: a crossing is about as dear as three small ATen calls.
MIN_NODES = 3
TOO_SMALL = "too little beside ATen nodes to pay for a segment"

# Namespaces of functions of Python numbers; a higher-order operator has the effects of its graphs.
_PURE = ("_operator", "math", "torch", "builtins", "higher_order")


def partition(program: Program, reasons: Mapping[str, str]) -> Plan:
    """Place every node of a functional program: on ATen where `reasons` names it, else in StableHLO.

    Nodes whose results are symbolic scalars that follow from the inputs' sizes belong to no segment; nobody
    runs them.
    """
    graph = program.graph
    reasons = dict(reasons)
    nodes = [node for node in graph.nodes if node.name in reasons or not _is_free(node, graph)]
    waits = _waits(nodes, reasons)
    computing = {node.name for node in nodes if _computes(node, graph)}
    for name in _views_on_aten(waits, reasons, computing):
        reasons[name] = f"{TOO_SMALL} (a view that only they read)"
    while True:
        orders = [_levels(nodes, waits, reasons, first) for first in (Placement.STABLEHLO, Placement.ATEN)]
        levels = min(orders, key=lambda order: len(set(order.values())))
        small = _small_levels(levels, reasons, computing)
        _sink(nodes, waits, reasons, levels, small)
        small = _small_levels(levels, reasons, computing)
        if not small:
            return Plan(_segments(program, _batches(nodes, levels, reasons)), reasons)
        for node in nodes:
            if levels[node.name] in small:
                count = small[levels[node.name]]
                reasons[node.name] = f"{TOO_SMALL} ({count} node{'s' * (count != 1)} that compute)"


@dataclass(frozen=True, slots=True)
class _Batch:
    placement: Placement
    nodes: tuple[Node, ...]


def _is_free(node: Node, graph: Graph) -> bool:
    """Whether a node produces no tensor: a size computation or a check that is done before the call."""
    if node.target in NO_CODE:
        return True
    results = [graph.values[name] for name in node.results()]
    return bool(results) and all(isinstance(type_, SymType) and not _from_data(type_) for type_ in results)


def _from_data(type_: SymType) -> bool:
    """Whether a symbolic scalar is known only once the data is."""
    return isinstance(type_.value, Symbol | Apply) and any(map(is_unbacked, free_symbols(type_.value)))


def _computes(node: Node, graph: Graph) -> bool:
    """Whether a node does work: views and checks do not."""
    found = schema(node.target)
    is_view = found is not None and any(result.alias and not result.writes for result in found.returns)
    return not is_view and any(isinstance(graph.values[name], TensorType) for name in node.results())


def _waits(nodes: Sequence[Node], reasons: Mapping[str, str]) -> dict[str, set[str]]:
    """What each node runs after: those it reads, and for an ATen node with effects the one before it."""
    defined_by = {name: node.name for node in nodes for name in node.results()}
    waits: dict[str, set[str]] = {}
    last_effect: str | None = None
    for node in nodes:
        waits[node.name] = {defined_by[ref] for ref in node.refs() if ref in defined_by}
        if node.name in reasons and _has_effect(node):
            if last_effect is not None:
                waits[node.name].add(last_effect)
            last_effect = node.name
    return waits


def _views_on_aten(
    waits: Mapping[str, set[str]], reasons: Mapping[str, str], computing: Set[str]
) -> list[str]:
    """Views that only ATen nodes read, of what ATen nodes or nobody made: in StableHLO they would be copies,
    and cut the ATen nodes around them apart."""
    neighbours = {name: set(before) for name, before in waits.items()}
    read: set[str] = set()
    for name, before in waits.items():
        read |= before
        for other in before:
            neighbours[other].add(name)
    views = {name for name in read if name not in reasons and name not in computing}
    left = list(views)
    while left:
        name = left.pop()
        if name in views and not all(other in reasons or other in views for other in neighbours[name]):
            views.remove(name)
            left += neighbours[name] & views
    return [name for name in waits if name in views]


def _levels(
    nodes: Sequence[Node], waits: Mapping[str, set[str]], reasons: Mapping[str, str], first: Placement
) -> dict[str, int]:
    """The first level that each node may have; those of `first` are even."""
    levels: dict[str, int] = {}
    for node in nodes:
        parity = (node.name in reasons) != (first is Placement.ATEN)
        least = max((levels[name] for name in waits[node.name]), default=0)
        levels[node.name] = least if least % 2 == parity else least + 1
    return levels


def _small_levels(
    levels: Mapping[str, int], reasons: Mapping[str, str], computing: Set[str]
) -> dict[int, int]:
    """The StableHLO levels that do too little, and how many nodes that compute they have."""
    counts: dict[int, int] = {}
    for name, level in levels.items():
        if name not in reasons:
            counts[level] = counts.get(level, 0) + (name in computing)
    if len(counts) == len(set(levels.values())):
        return {}  # nothing is on ATen: nothing is crossed
    return {level: count for level, count in counts.items() if count < MIN_NODES}


def _sink(
    nodes: Sequence[Node],
    waits: Mapping[str, set[str]],
    reasons: Mapping[str, str],
    levels: dict[str, int],
    small: Collection[int],
) -> None:
    """Move nodes of small levels to the last large one at which all that wait for them can still run."""
    large = sorted({level for name, level in levels.items() if name not in reasons} - set(small))
    if not small or not large:
        return
    latest = dict.fromkeys(levels, large[-1])
    for node in reversed(nodes):
        name = node.name
        if name not in reasons and levels[name] in small:
            place = bisect_right(large, latest[name]) - 1
            levels[name] = max(levels[name], large[place] if place >= 0 else 0)
        for other in waits[name]:
            limit = levels[name] - ((name in reasons) != (other in reasons))
            latest[other] = min(latest[other], limit)


def _batches(nodes: Sequence[Node], levels: Mapping[str, int], reasons: Mapping[str, str]) -> list[_Batch]:
    """Nodes by level; levels of one kind with nothing between them are one batch."""
    by_level: dict[int, list[Node]] = {}
    for node in nodes:
        by_level.setdefault(levels[node.name], []).append(node)
    groups: list[list[int]] = []
    for level in sorted(by_level):
        if groups and (level - groups[-1][-1]) % 2 == 0:
            groups[-1].append(level)
        else:
            groups.append([level])
    batches: list[_Batch] = []
    for group in groups:
        members = [node for level in group for node in by_level[level]]
        placement = Placement.ATEN if members[0].name in reasons else Placement.STABLEHLO
        batches.append(_Batch(placement, tuple(members)))
    return batches


def _has_effect(node: Node) -> bool:
    """Whether running a node is seen otherwise than in its results: random state, assertions, unknown ops."""
    if any(_has_effect(inner) for graph in _graphs_in(node) for inner in graph.nodes):
        return True
    found = schema(node.target)
    if found is None:
        return node.target.partition(".")[0] not in _PURE
    return "nondeterministic_seeded" in found.tags or not any(True for _ in node.results())


def _graphs_in(node: Node) -> Iterator[Graph]:
    for argument in node.args:
        for value in argument.value if isinstance(argument.value, tuple) else (argument.value,):
            if isinstance(value, Graph):
                yield value


def _segments(program: Program, batches: Sequence[_Batch]) -> tuple[Segment, ...]:
    graph = program.graph
    made_in = {name: i for i, batch in enumerate(batches) for node in batch.nodes for name in node.results()}
    wanted: list[set[str]] = [set() for _ in batches]
    for name in _outputs(graph):
        if name in made_in:
            wanted[made_in[name]].add(name)
    reads: list[list[str]] = []
    for i, batch in enumerate(batches):
        read = [
            ref
            for ref in _unique(ref for node in batch.nodes for ref in node.refs())
            if made_in.get(ref) != i
        ]
        for ref in read:
            if ref in made_in:
                wanted[made_in[ref]].add(ref)
        # Symbolic scalars come from the sizes, or from the node that computed them, never through a port.
        reads.append([ref for ref in read if not isinstance(graph.values[ref], SymType)])
    return tuple(
        Segment(
            i,
            batch.placement,
            tuple(node.name for node in batch.nodes),
            tuple(reads[i]),
            tuple(name for node in batch.nodes for name in node.results() if name in wanted[i]),
        )
        for i, batch in enumerate(batches)
    )


def _outputs(graph: Graph) -> list[str]:
    return [name for output in graph.outputs for name in refs_of(output)]


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def all_on_aten(program: Program, reason: str) -> Plan:
    """One ATen segment with every node that runs, for the one reason."""
    graph = program.graph
    nodes = tuple(node for node in graph.nodes if not _is_free(node, graph))
    batches = [_Batch(Placement.ATEN, nodes)] if nodes else []
    return Plan(_segments(program, batches), {node.name: reason for node in nodes})
