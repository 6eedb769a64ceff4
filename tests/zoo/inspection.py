"""One model of the registry, taken through, as plain data for its report.

`python -m tests.zoo.inspection ENGINE,ENGINE [--source]` reads names of models, a line each, and answers each
with a line of JSON.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from math import prod
from typing import Any

#: How much of a model a page shows.
BOXES, NODES, WEIGHTS, VALUES = 40, 40, 30, 20


@dataclass
class Finding:
    """What is known of one model. `differences`: per engine and value, as `Difference` has it.

    `left_out`: how many lines of a table a page does not have. `source`: `equal`, or why source back out is
    not; empty where it was not asked for.
    """

    model: str
    description: str
    categories: list[str]
    inputs: str = ""
    apart: str = ""
    engines: list[str] = field(default_factory=list)
    parameters: int = 0
    nodes: int = 0
    segments: int = 0
    aten_nodes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    differences: list[dict[str, Any]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    operators: dict[str, int] = field(default_factory=dict)
    mermaid: str = ""
    node_rows: list[list[str]] = field(default_factory=list)
    weight_rows: list[list[str]] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    source: str = ""

    @property
    def passed(self) -> bool:
        return not self.problems


def inspect(name: str, engines: Sequence[str], source: bool) -> Finding:
    """Take a model through. Whatever goes wrong with it is one of its problems."""
    from tests.models.pipeline import take_through
    from tests.models.registry import models

    entry = models()[name]
    finding = Finding(
        name, entry.description, list(entry.categories), entry.inputs(), entry.apart, list(engines)
    )
    try:
        row = take_through(name, entry.build(), engines)
    except Exception as error:  # the report tells of it
        finding.problems.append(f"{type(error).__name__}: {' '.join(str(error).split())[:500]}")
        return finding
    finding.segments, finding.aten_nodes, finding.seconds = row.segments, row.aten_nodes, row.seconds
    finding.problems, finding.reasons = row.problems, row.reasons
    due = set(entry.apart_on) & set(engines) if entry.apart else set()
    counts = f"segments: {row.segments}, nodes on ATen: {row.aten_nodes}"
    finding.problems += [
        f"{engine}: {counts}; one and none are due" for engine in row.split if engine not in due
    ]
    finding.problems += [
        f"{engine}: one segment, though it has a reason for more" for engine in due - {*row.split}
    ]
    finding.problems += [f"{value} is constant: its comparison says little" for value in row.constant]
    for engine, found in row.differences.items():
        rows = [
            {
                "engine": engine,
                "name": d.name,
                "type": d.type,
                "error": d.error,
                "mean": d.mean,
                "problem": d.problem,
            }
            for d in found
        ]
        finding.differences += _capped(finding, f"values on {engine}", rows, VALUES)
    _describe(finding, row.lowered)
    if source:
        finding.source = source_back(row.exported, name)
        if finding.source.startswith("differs"):
            finding.problems.append(f"source: {finding.source}")
    return finding


def source_back(exported: Any, name: str) -> str:
    """`equal` if a program's source exports as the program again, else the cause."""
    import bridge
    from lowering.python.errors import NoSource
    from tests.lowering.python.reexport import canonical, exported_again

    program = bridge.extract(exported, name=name)
    try:
        source = program.to_python("Model")
    except NoSource as error:
        return str(error)
    before = canonical(program)
    try:
        after = canonical(exported_again(program, source, "Model"))
    except Exception as error:  # of the source, or of torch's exporter
        return f"differs: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    if before == after:
        return "equal"
    lines = zip(before, after, strict=False)
    wanted, got = next(((a, b) for a, b in lines if a != b), ("", "lines are missing"))
    # Lines are long: the place where they part is of interest.
    same = next((place for place, (a, b) in enumerate(zip(wanted, got, strict=False)) if a != b), 0)
    start = max(same - 40, 0)
    return f"differs: {got[start : start + 120]!r} in place of {wanted[start : start + 120]!r}"


def _describe(finding: Finding, lowered: Any) -> None:
    """The program as it is lowered: counts, picture, nodes and weights."""
    from lowering.ir.program import InputKind, all_nodes
    from lowering.ir.text import print_type

    program = lowered.functional
    finding.nodes = len(program.nodes)
    finding.operators = dict(Counter(node.target for node in all_nodes(program.nodes)).most_common())
    finding.mermaid = lowered.to_mermaid(max_nodes=BOXES)
    placement, values = lowered.placement, program.graph.values
    nodes = [
        [
            node.name,
            node.target,
            ", ".join(print_type(values.get(result)) for result in node.results()),
            node.location.module_path,
            placement[node.name].partition(":")[0] if node.name in placement else "",
        ]
        for node in program.nodes
    ]
    finding.node_rows = _capped(finding, "nodes", nodes, NODES)
    weights = []
    for spec in program.weights.values():
        size = prod(size for size in spec.type.sizes if isinstance(size, int))
        weights.append([spec.fqn, spec.kind.value, print_type(spec.type), f"{size:,}"])
        finding.parameters += size * (spec.kind is InputKind.PARAMETER)
    finding.weight_rows = _capped(finding, "weights", weights, WEIGHTS)


def _capped(finding: Finding, name: str, rows: list[Any], most: int) -> list[Any]:
    if len(rows) > most:
        finding.left_out[name] = len(rows) - most
    return rows[:most]


def main(arguments: Sequence[str]) -> None:
    """Answer each name until there are no more; what else is printed goes to standard error."""
    engines, *options = arguments
    answers = sys.stdout
    with redirect_stdout(sys.stderr):
        for line in sys.stdin:
            finding = inspect(line.strip(), engines.split(","), "--source" in options)
            print(json.dumps(vars(finding)), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
