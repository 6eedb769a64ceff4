"""The sections of a report, as plain data, and the page that shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from bridge.planned import Planned
from bridge.report.graph import graph_data
from bridge.report.page import page
from bridge.report.profiles import ProfileTable
from bridge.report.stablehlo import stablehlo_data
from lowering.ir.plan import Plan
from lowering.ir.program import WeightSpec
from lowering.ir.text import print_type

if TYPE_CHECKING:
    from bridge.verification.report import VerificationReport

# A table of more rows is slow to show.
_MOST_ROWS = 5000


def graph_page(lowered: Planned, title: str) -> str:
    """HTML with the graph alone."""
    return page({"title": title, "graph": graph_data(lowered.functional, lowered.plan)})


def profile_page(lowered: Planned, plan: Plan, title: str, profile: Sequence[ProfileTable]) -> str:
    """HTML with the tables of a profile, and the graph in the segments of its plan."""
    graph = graph_data(lowered.functional, plan)
    return page({"title": title, "graph": graph, "profile": [table._asdict() for table in profile]})


def report_page(
    lowered: Planned,
    title: str,
    summary: Mapping[str, Any],
    verification: VerificationReport | None = None,
    profile: Sequence[ProfileTable] = (),
) -> str:
    """HTML with all that is known of a program. `summary`: as `bridge info --json` has it."""
    return page(
        {
            "title": title,
            "summary": _summary(summary),
            "graph": graph_data(lowered.functional, lowered.plan),
            "weights": _weights(list(lowered.program.weights.values())),
            "verification": None if verification is None else _verification(verification),
            "profile": [table._asdict() for table in profile],
            "stablehlo": stablehlo_data(lowered),
        }
    )


def _summary(data: Mapping[str, Any]) -> dict[str, Any]:
    weights, placed = data["weights"], data["nodes"]
    segments = [f"{s['index']}: {s['placement']}, {s['nodes']:,} nodes" for s in data["segments"]]
    symbols = [
        f"{name}: {_bound(s['low'])} to {_bound(s['high'])}, {_bound(s['example'])} in the example"
        for name, s in data["symbols"].items()
    ]
    facts = {
        "Exported by": f"torch {data['torch'] or 'of unknown version'}",
        "Parameters": f"{weights['parameters']:,}",
        "Weights": f"{weights['names']:,}, {weights['bytes']:,} bytes",
        "Memory of a call": _memory(data["memory"]),
        "Nodes": ", ".join(f"{count:,} on {place}" for place, count in placed.items()),
        "Segments": "; ".join(segments),
        "Symbols": "; ".join(symbols),
        "Writes": ", ".join(f"{w['kind']} {w['name']}" for w in data["writes"]),
        "Not functional": data["not_functional"],
        "Compiled for": ", ".join(f"{b['engine']} on {b['device']}" for b in data["binaries"]),
    }
    return {
        "facts": [[name, text] for name, text in facts.items() if text],
        "inputs": [[item["name"], item["type"]] for item in data["inputs"]],
        "outputs": [[item["name"], item["type"]] for item in data["outputs"]],
        "operators": list(data["operators"].items()),
        "gaps": [[gap["node"], gap["op"], gap["where"], gap["reason"]] for gap in data["aten"]],
    }


def _memory(rows: Sequence[Mapping[str, Any]]) -> str:
    """Of the IR first, then of each engine that tells."""
    if not rows:
        return ""
    whole = ", ".join(f"{name} {rows[0][name]:,} bytes" for name in ("arguments", "results"))
    between = [
        f"{row['temporary']:,} bytes {'on ' + row['engine'] if row['engine'] else '(a bound of the IR)'}"
        for row in rows
    ]
    return f"{whole}; in between at most {', '.join(between)}"


def _bound(value: int | None) -> str:
    return "any" if value is None else str(value)


def _weights(specs: Sequence[WeightSpec]) -> dict[str, Any]:
    """The largest first. Sizes that are symbols count as nothing: no weight of an export has them."""
    rows = [
        (spec.fqn or spec.name, spec.kind.value, print_type(spec.type), elements, elements * size)
        for spec in specs
        for size in [spec.type.dtype.itemsize]
        for elements in [prod(n for n in spec.type.sizes if isinstance(n, int))]
    ]
    total = max(1, sum(row[-1] for row in rows))
    rows.sort(key=lambda row: -row[-1])
    shown = [(*row, row[-1] / total) for row in rows[:_MOST_ROWS]]
    return {"rows": shown, "more": len(rows) - len(shown)}


def _verification(report: VerificationReport) -> dict[str, Any]:
    from bridge.verification.compare import DECADES

    return {**report.json(), "decades": list(DECADES)}
