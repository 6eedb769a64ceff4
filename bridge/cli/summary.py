"""What a lowered program is, in a few lines: segments, nodes, reasons."""

from __future__ import annotations

from collections import Counter
from typing import Any

from bridge.lowered import Lowered
from lowering.ir.plan import Placement
from lowering.ir.program import InputKind, Node

# How many gaps are shown one by one before the rest is counted.
_SHOWN = 20


def summary(lowered: Lowered) -> dict[str, Any]:
    """The plan as plain data: segments, node counts, and each ATen node with its reason and source line."""
    nodes = {node.name: node for node in lowered.functional.graph.nodes}
    return {
        "segments": [
            {"index": s.index, "placement": s.placement.value, "nodes": len(s.nodes)}
            for s in lowered.plan.segments
        ],
        "nodes": {p.value: _count(lowered, p) for p in Placement},
        "aten": [
            {"node": name, "op": nodes[name].target, "where": str(nodes[name].location), "reason": reason}
            for name, reason in lowered.plan.reasons.items()
            if name in nodes
        ],
        "inputs": _inputs(lowered),
        "torch": lowered.program.torch_version,
        "weights": {"names": len(lowered.weights.views), "bytes": _weight_bytes(lowered)},
    }


def print_summary(lowered: Lowered) -> None:
    """The same for people."""
    total = len(lowered.plan.segments)
    print(
        f"{total} segment{'s' if total != 1 else ''}, "
        f"{_count(lowered, Placement.STABLEHLO)} nodes on StableHLO, "
        f"{_count(lowered, Placement.ATEN)} on ATen"
    )
    nodes = {node.name: node for node in lowered.functional.graph.nodes}
    gaps = [(nodes[name], reason) for name, reason in lowered.plan.reasons.items() if name in nodes]
    for node, reason in gaps[:_SHOWN]:
        print(f"  {_described(node)}: {reason}")
    if len(gaps) > _SHOWN:
        rest = Counter(node.target for node, _ in gaps[_SHOWN:])
        print("  and " + ", ".join(f"{count} x {target}" for target, count in rest.most_common()))


def _described(node: Node) -> str:
    where = str(node.location)
    return f"{node.name} ({node.target})" + (f" at {where}" if where else "")


def _count(lowered: Lowered, placement: Placement) -> int:
    return sum(len(s.nodes) for s in lowered.plan.segments if s.placement is placement)


def _inputs(lowered: Lowered) -> list[dict[str, Any]]:
    from lowering.ir.text import print_type

    values = lowered.program.graph.values
    return [
        {"name": spec.name, "type": print_type(values[spec.name])}
        for spec in lowered.program.signature.inputs
        if spec.kind is InputKind.USER
    ]


def _weight_bytes(lowered: Lowered) -> int:
    return sum(storage.nbytes for storage in lowered.weights.storages.values())
