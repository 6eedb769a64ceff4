"""The configurations that are worth a measurement, simple ones first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set

from bridge.configuration import ATEN, Configuration
from lowering.host.machine import cores
from lowering.ir.facts.contractions import (
    LSTM,
    is_attention,
    is_convolution,
    may_convolve_images,
    product_operands,
)
from lowering.ir.plan import Placement, Plan
from lowering.ir.program import Program
from lowering.ir.uses import output_names, users
from lowering.passes.partition import computes
from lowering.targets import ENGINES, choices

#: A candidate's name and what it is.
Candidate = tuple[str, Configuration]

# Operators that ATen's own libraries may be better at than an engine, as a family that moves together.
FAMILIES: Mapping[str, Callable[[str], bool]] = {"attention": is_attention, "convolutions": is_convolution}


def whole(program: Program, plan: Plan, device: str) -> Iterator[Candidate]:
    """Everything in one place; on ATen also with weights packed, where there is something to pack."""
    if device == "cpu":
        yield ATEN, Configuration(ATEN)
        if any(map(_may_pack, {node.target for node in program.graph.nodes})):
            yield f"{ATEN}, packed", Configuration(ATEN, packed=True)
    if all(segment.placement is Placement.ATEN for segment in plan.segments):
        return
    for name, choice in choices().items():
        if not choice.several_cores or (device == "cpu" and cores() > 1):
            yield name, Configuration(name)


def _may_pack(target: str) -> bool:
    """Whether `lowering.targets.aten.prepacking` may have a better call for an operator."""
    return product_operands(target) is not None or may_convolve_images(target) or target == LSTM


def split(program: Program, plan: Plan, device: str, lost: Callable[[str], bool]) -> Iterator[Candidate]:
    """One family of operators on ATen, the rest on an engine. The next engine is tried unless the one before
    has `lost` by far: many pieces take long to compile."""
    if device != "cpu":
        return
    lowered = {name for s in plan.segments if s.placement is Placement.STABLEHLO for name in s.nodes}
    for family, belongs in FAMILIES.items():
        reason = f"measured: {family} are faster there"
        nodes = _with_views(program, lowered, belongs)
        if nodes and len(nodes) < len(lowered):
            for engine in reversed(ENGINES):
                name = f"{engine}, {family} on aten"
                yield name, Configuration(engine, moved=dict.fromkeys(nodes, reason), packed=True)
                if lost(name):
                    break


def _with_views(program: Program, lowered: Set[str], belongs: Callable[[str], bool]) -> list[str]:
    """The nodes of a family, and the views that only they read or that read only them.

    Such views cost nothing on ATen, and are copies in an engine.
    """
    graph = program.graph
    nodes = [node for node in graph.nodes if node.name in lowered]
    family = {name for node in nodes if belongs(node.target) for name in (node.name, *node.results())}
    used_in, kept = users(graph.nodes), set(output_names(graph))
    for node in nodes:
        if not computes(node, graph) and family.intersection(node.refs()):
            family.add(node.name)
    for node in reversed(nodes):
        read = [user.name for user in used_in.get(node.name, ())]
        if not computes(node, graph) and read and family.issuperset(read) and node.name not in kept:
            family.add(node.name)
    return [node.name for node in nodes if node.name in family]


def mixed(plan: Plan, spent: Mapping[str, Sequence[float]]) -> Candidate | None:
    """Each segment where it took least; None where that is the same place for all, which is tried already.

    `spent`: for each choice, and ATEN, the seconds of each of the plan's segments.
    """
    best: dict[int, str] = {}
    for segment in plan.segments:
        if segment.placement is Placement.STABLEHLO and spent:
            best[segment.index] = min(spent, key=lambda name: spent[name][segment.index])
    if len(set(best.values())) < 2:
        return None
    segments = {segment.index: segment for segment in plan.segments}
    engines = [name for name in best.values() if name != ATEN]
    usual = max(engines, key=engines.count)
    others = {segments[i].nodes[0]: name for i, name in best.items() if name not in (usual, ATEN)}
    reason = "measured: its segment is faster there"
    moved = {name: reason for i, where in best.items() if where == ATEN for name in segments[i].nodes}
    return "each segment where it is fastest", Configuration(usual, others, moved, packed=True)
