"""From reasons to a plan: which nodes run as StableHLO segments, which on ATen.

Segments are made by scheduling: all StableHLO nodes that are ready form one segment, then all ATen nodes that
are ready form the next, and so on. A batch of ready nodes is convex by construction, and an ATen node that
nothing waits for does not cut what surrounds it. Of the two orders (StableHLO first, ATen first) the one with
fewer segments wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lowering.emit import NO_CODE
from lowering.ir.aten import schema
from lowering.ir.plan import Placement, Plan, Segment
from lowering.ir.program import Graph, Node, Program, refs_of
from lowering.ir.types import SymType, TensorType

# A StableHLO segment between ATen ones with fewer nodes that compute costs more to enter and leave than it
# saves: a crossing is about as dear as three small ATen calls.
MIN_NODES = 3


def partition(program: Program, reasons: Mapping[str, str]) -> Plan:
    """Place every node of a functional program: on ATen where `reasons` names it, else in StableHLO.

    Nodes whose results are symbolic scalars that follow from the inputs' sizes belong to no segment; nobody
    runs them.
    """
    reasons = dict(reasons)
    nodes = [
        node for node in program.graph.nodes if node.name in reasons or not _is_free(node, program.graph)
    ]
    while True:
        batches = _schedule(program.graph, nodes, reasons)
        small = [batch for batch in batches if _is_too_small(batch, batches, program.graph)]
        if not small:
            break
        for node in small[0].nodes:
            count = sum(_computes(n, program.graph) for n in small[0].nodes)
            reasons[node.name] = (
                f"too little between ATen nodes to pay for a segment ({count} nodes that compute)"
            )
    return Plan(_segments(program, batches), reasons)


@dataclass(frozen=True, slots=True)
class _Batch:
    placement: Placement
    nodes: tuple[Node, ...]


def _is_free(node: Node, graph: Graph) -> bool:
    """Whether a node produces no tensor: a size computation or a check that is done before the call."""
    if node.target in NO_CODE:
        return True
    results = [graph.values[name] for name in node.results()]
    return bool(results) and all(isinstance(type_, SymType) for type_ in results)


def _computes(node: Node, graph: Graph) -> bool:
    """Whether a node does work: views and checks do not."""
    found = schema(node.target)
    is_view = found is not None and any(result.alias and not result.writes for result in found.returns)
    return not is_view and any(isinstance(graph.values[name], TensorType) for name in node.results())


def _is_too_small(batch: _Batch, batches: Sequence[_Batch], graph: Graph) -> bool:
    if batch.placement is Placement.ATEN or len(batches) == 1:
        return False
    return sum(_computes(node, graph) for node in batch.nodes) < MIN_NODES


def _schedule(graph: Graph, nodes: Sequence[Node], reasons: Mapping[str, str]) -> list[_Batch]:
    orders = [_schedule_from(start, nodes, reasons) for start in (Placement.STABLEHLO, Placement.ATEN)]
    return min(orders, key=len)


def _schedule_from(start: Placement, nodes: Sequence[Node], reasons: Mapping[str, str]) -> list[_Batch]:
    """Alternate batches of ready nodes, beginning with `start`; ATen nodes with effects keep their order."""
    defined_by = {name: node.name for node in nodes for name in node.results()}
    waits: dict[str, set[str]] = {}
    last_effect: str | None = None
    for node in nodes:
        waits[node.name] = {defined_by[ref] for ref in node.refs() if ref in defined_by}
        if node.name in reasons and _has_effect(node):
            if last_effect is not None:
                waits[node.name].add(last_effect)
            last_effect = node.name
    batches: list[_Batch] = []
    placement, left, done = start, list(nodes), set[str]()
    while left:
        taken: list[Node] = []
        rest: list[Node] = []
        for node in left:
            here = (node.name in reasons) == (placement is Placement.ATEN)
            if here and waits[node.name] <= done:
                taken.append(node)
                done.add(node.name)
            else:
                rest.append(node)
        if taken:
            batches.append(_Batch(placement, tuple(taken)))
        left = rest
        placement = Placement.ATEN if placement is Placement.STABLEHLO else Placement.STABLEHLO
    return batches


def _has_effect(node: Node) -> bool:
    """Whether running a node is seen otherwise than in its results: random state, assertions, unknown ops."""
    found = schema(node.target)
    if found is None:
        return node.target.partition(".")[0] not in ("_operator", "torch", "math", "higher_order")
    return "nondeterministic_seeded" in found.tags or not any(True for _ in node.results())


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
