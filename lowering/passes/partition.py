"""From reasons to a plan: which nodes run as StableHLO segments, which on ATen.

Each node gets a level, its segment's number. There are three kinds: nodes in StableHLO, such nodes with sizes
that only the data gives, and nodes on ATen. The kinds take turns. A node has the first level of its kind that
is not before the levels of its operands. So a segment is convex by construction, and the longest chain of
alternations gives their number. An ATen node that nothing waits for does not cut a segment. Of the kinds that
may come first the one with the fewest segments wins. A small StableHLO segment joins a later one if its
readers can wait, else the ATen nodes around it.

A pass over the nodes is linear; each round of moving small segments makes one more.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import IntEnum

from lowering.ir.facts.checks import is_check, needs_no_code
from lowering.ir.facts.cost import is_dear
from lowering.ir.facts.effects import has_effect
from lowering.ir.facts.views import is_view
from lowering.ir.plan import Placement, Plan, Segment
from lowering.ir.program import Graph, Node, Program
from lowering.ir.types import SymType, TensorType
from lowering.ir.unbacked import binders, gives_number, is_number, sizing, symbols_of_node
from lowering.ir.uses import output_names, producers, used_by

# A smaller StableHLO segment between ATen ones costs more than it saves: a crossing costs about three small
# ATen calls.
MIN_NODES = 3
TOO_SMALL = "too little beside ATen nodes to pay for a segment"
# A segment whose sizes only the data gives is compiled for each size that recurs. That pays for many nodes,
# or for a dear one.
MIN_DATA_NODES = 8
TOO_SMALL_FOR_DATA = "too little to compile for each size that the data gives"
_AS_A_SIZE = "its value has to be a size of an input"
_A_SIZE = "its value is the size of a tensor, known only once the data is"


def data_reasons(graph: Graph) -> dict[str, str]:
    """The nodes that ATen has to run even with a rule: they give or check what sizes tensors and only the
    data tells."""
    sizes = sizing(graph)
    binding = {name for symbol, name in binders(graph).items() if symbol in sizes}
    reasons: dict[str, str] = {}
    for node in graph.nodes:
        if node.name in binding:
            of_number = gives_number(graph, node)
            reasons[node.name] = _A_SIZE if of_number else "the size of its result depends on the data"
        elif gives_number(graph, node) and not any(is_number(graph, at, sizes) for at in node.results()):
            reasons[node.name] = _AS_A_SIZE
        elif is_check(node.target) and (symbols := symbols_of_node(graph, node)) and symbols <= sizes:
            reasons[node.name] = "checks a size that is known only once the data is"
    return reasons


def partition(program: Program, reasons: Mapping[str, str]) -> Plan:
    """Place every node of a functional program: on ATen where `reasons` names it, else in StableHLO.

    Nodes whose results are symbolic scalars belong to no segment and do not run. The values follow from the
    inputs' sizes and from other nodes' results.
    """
    graph = program.graph
    reasons = dict(reasons)
    sizes = sizing(graph)
    nodes = [node for node in graph.nodes if node.name in reasons or not _is_free(node, graph, sizes)]
    waits = _waits(nodes, reasons, graph, sizes)
    computing = {node.name for node in nodes if computes(node, graph)}
    for name in _views_on_aten(waits, reasons, computing):
        reasons[name] = f"{TOO_SMALL} (a view that only they read)"
    data = {node.name for node in nodes if symbols_of_node(graph, node) & sizes}
    dear = {node.name for node in nodes if is_dear(node.target)}
    while True:
        kinds = {node.name: _kind(node.name, reasons, data) for node in nodes}
        orders = [_levels(nodes, waits, kinds, first) for first in SegmentKind]
        levels = min(orders, key=lambda order: len(set(order.values())))
        _sink(nodes, waits, kinds, levels, _small_levels(levels, kinds, computing, dear))
        small = _small_levels(levels, kinds, computing, dear)
        if not small:
            return Plan(_segments(program, _batches(nodes, levels, kinds)), reasons)
        for name, level in levels.items():
            if level in small:
                why = TOO_SMALL_FOR_DATA if kinds[name] is SegmentKind.DATA else TOO_SMALL
                count = small[level]
                reasons[name] = f"{why} ({count} node{'s' * (count != 1)} that compute)"


class SegmentKind(IntEnum):
    """Where a node runs, in the order of their turns. DATA: in StableHLO, with sizes that the data gives."""

    STABLEHLO = 0
    DATA = 1
    ATEN = 2


Kinds = Mapping[str, SegmentKind]


def _kind(name: str, reasons: Mapping[str, str], data: Set[str]) -> SegmentKind:
    if name in reasons:
        return SegmentKind.ATEN
    return SegmentKind.DATA if name in data else SegmentKind.STABLEHLO


@dataclass(frozen=True, slots=True)
class _Batch:
    placement: Placement
    nodes: tuple[Node, ...]


def _is_free(node: Node, graph: Graph, sizes: Set[str]) -> bool:
    """Whether a node needs not run: it computes a size, or checks what is done before the call."""
    if needs_no_code(node.target):
        return not symbols_of_node(graph, node)
    results = list(node.results())
    scalars = all(isinstance(graph.values[name], SymType) for name in results)
    return bool(results) and scalars and not any(is_number(graph, name, sizes) for name in results)


def computes(node: Node, graph: Graph) -> bool:
    """Whether a node does work: views and checks do not."""
    types = [graph.values[name] for name in node.results()]
    return not is_view(node.target) and any(isinstance(type_, TensorType) for type_ in types)


def _waits(
    nodes: Sequence[Node], reasons: Mapping[str, str], graph: Graph, sizes: Set[str]
) -> dict[str, set[str]]:
    """The nodes before each node: its operands, the binders of its sizes, and the ATen effect before an ATen
    effect."""
    defined_by = producers(nodes)
    found_by = binders(graph)
    waits: dict[str, set[str]] = {}
    last_effect: str | None = None
    for node in nodes:
        before = {defined_by[ref].name for ref in node.refs() if ref in defined_by}
        before |= {found_by[symbol] for symbol in symbols_of_node(graph, node) & sizes}
        waits[node.name] = before & waits.keys()
        if node.name in reasons and has_effect(node):
            if last_effect is not None:
                waits[node.name].add(last_effect)
            last_effect = node.name
    return waits


def _views_on_aten(
    waits: Mapping[str, set[str]], reasons: Mapping[str, str], computing: Set[str]
) -> list[str]:
    """Views that only ATen nodes read, of values that no StableHLO node made. In StableHLO they would be
    copies, and separate the ATen nodes around them."""
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
    nodes: Sequence[Node], waits: Mapping[str, set[str]], kinds: Kinds, first: SegmentKind
) -> dict[str, int]:
    """The first level that each node may have; those of `first` are divisible by the number of kinds."""
    levels: dict[str, int] = {}
    for node in nodes:
        least = max((levels[name] for name in waits[node.name]), default=0)
        levels[node.name] = least + (kinds[node.name] - first - least) % len(SegmentKind)
    return levels


def _small_levels(
    levels: Mapping[str, int], kinds: Kinds, computing: Set[str], dear: Set[str]
) -> dict[int, int]:
    """The StableHLO levels that do too little, and how many nodes that compute they have."""
    if SegmentKind.ATEN not in kinds.values():
        return {}  # nothing is crossed
    counts: dict[int, int] = {}
    least: dict[int, int] = {}
    for name, level in levels.items():
        if kinds[name] is not SegmentKind.ATEN:
            counts[level] = counts.get(level, 0) + (name in computing)
            least.setdefault(level, MIN_DATA_NODES if kinds[name] is SegmentKind.DATA else MIN_NODES)
            if kinds[name] is SegmentKind.DATA and name in dear:
                least[level] = 1
    return {level: count for level, count in counts.items() if count < least[level]}


def _sink(
    nodes: Sequence[Node],
    waits: Mapping[str, set[str]],
    kinds: Kinds,
    levels: dict[str, int],
    small: Collection[int],
) -> None:
    """Move nodes of small levels to the last large one at which all that wait for them can still run."""
    kept = {
        kind: sorted({n for name, n in levels.items() if kinds[name] is kind} - set(small))
        for kind in SegmentKind
    }
    if not small or not (kept[SegmentKind.STABLEHLO] or kept[SegmentKind.DATA]):
        return
    latest = dict.fromkeys(levels, max(levels.values()))
    for node in reversed(nodes):
        name, large = node.name, kept[kinds[node.name]]
        if kinds[name] is not SegmentKind.ATEN and levels[name] in small:
            place = bisect_right(large, latest[name]) - 1
            levels[name] = max(levels[name], large[place] if place >= 0 else 0)
        for other in waits[name]:
            limit = levels[name] - (kinds[name] is not kinds[other])
            latest[other] = min(latest[other], limit)


def _batches(nodes: Sequence[Node], levels: Mapping[str, int], kinds: Kinds) -> list[_Batch]:
    """Nodes by level; levels of one kind with nothing between them are one batch."""
    by_level: dict[int, list[Node]] = {}
    for node in nodes:
        by_level.setdefault(levels[node.name], []).append(node)
    groups: list[tuple[SegmentKind, list[Node]]] = []
    for level in sorted(by_level):
        kind = kinds[by_level[level][0].name]
        if groups and groups[-1][0] is kind:
            groups[-1][1].extend(by_level[level])
        else:
            groups.append((kind, by_level[level]))
    return [
        _Batch(Placement.ATEN if kind is SegmentKind.ATEN else Placement.STABLEHLO, tuple(members))
        for kind, members in groups
    ]


def _segments(program: Program, batches: Sequence[_Batch]) -> tuple[Segment, ...]:
    graph = program.graph
    made_in = {name: i for i, batch in enumerate(batches) for node in batch.nodes for name in node.results()}
    wanted: list[set[str]] = [set() for _ in batches]
    for name in output_names(graph):
        if name in made_in:
            wanted[made_in[name]].add(name)
    reads: list[list[str]] = []
    sizes = sizing(graph)
    for i, batch in enumerate(batches):
        read = [ref for ref in used_by(batch.nodes) if made_in.get(ref) != i]
        for ref in read:
            if ref in made_in:
                wanted[made_in[ref]].add(ref)
        # Other symbolic scalars follow from the sizes, and come through no port.
        scalars = {ref for ref in read if isinstance(graph.values[ref], SymType)}
        reads.append([ref for ref in read if ref not in scalars or is_number(graph, ref, sizes)])
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


def all_on_aten(program: Program, reason: str) -> Plan:
    """One ATen segment with every node that runs, for the one reason."""
    graph = program.graph
    from_data, sizes = data_reasons(graph), sizing(graph)
    nodes = tuple(node for node in graph.nodes if node.name in from_data or not _is_free(node, graph, sizes))
    batches = [_Batch(Placement.ATEN, nodes)] if nodes else []
    return Plan(_segments(program, batches), {node.name: reason for node in nodes})
