"""The findings of verification, as a value, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.verification.compare import Difference
from bridge.verification.repeat import Repeats
from bridge.verification.tolerances import Given
from lowering.ir.short_repr import ShortRepr, as_html


@dataclass(frozen=True, slots=True)
class EdgeReport:
    """One engine against eager on one kind of edge value. `problem`: the error that stopped it."""

    kind: str
    differences: tuple[Difference, ...]
    problem: str = ""

    @property
    def passed(self) -> bool:
        return not self.problem and all(d.passed for d in self.differences)


@dataclass(frozen=True, slots=True, repr=False)
class EngineReport(ShortRepr):
    """One engine against eager.

    `differences`: one entry per compared value (`output 0`, `input x after the call`, `buffer k after the
    call`). `reasons`: why each ATen node is on ATen. `problem`: the error that stopped it, if one did.
    `cache`: hits, misses, evictions and postponements of the cache of segments compiled per size. `repeats`:
    how calls compare with the first that was given the same, None where there was one call. `edges`: one
    entry per kind of edge value.
    """

    engine: str
    segments: int
    stablehlo_nodes: int
    aten_nodes: int
    differences: tuple[Difference, ...]
    reasons: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    cache: Mapping[str, int] = field(default_factory=dict)
    repeats: Repeats | None = None
    edges: tuple[EdgeReport, ...] = ()

    @property
    def passed(self) -> bool:
        return self.ordinary_passed and all(edge.passed for edge in self.edges)

    @property
    def ordinary_passed(self) -> bool:
        """Whether all but the calls on edge values gave what eager gives."""
        same = self.repeats is None or self.repeats.passed
        return not self.problem and same and all(d.passed for d in self.differences)

    @property
    def largest_error(self) -> float:
        """The largest absolute error of any value."""
        return max((d.error for d in self.differences), default=0.0)


@dataclass(frozen=True, slots=True, repr=False)
class VerificationReport(ShortRepr):
    """The result of `bridge.verify`.

    `left_out`: why a kind of edge value was not compared. `given`: the caller's tolerance; None: the table's.
    """

    source: str
    reference: str
    engines: tuple[EngineReport, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    given: Given | None = None

    @property
    def passed(self) -> bool:
        """Whether every engine gave what eager gives."""
        return all(engine.passed for engine in self.engines)

    def markdown(self) -> str:
        """A table with one row per engine, then a line per value that differs; the same for edge values."""
        lines = [
            "| engine | segments | on StableHLO | on ATen | values | largest error | calls | verdict |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for e in self.engines:
            lines.append(
                f"| {e.engine} | {e.segments} | {e.stablehlo_nodes} | {e.aten_nodes} "
                f"| {len(e.differences)} | {e.largest_error:.3g} | {_calls(e.repeats)} "
                f"| {_verdict(e.ordinary_passed, e.problem)} |"
            )
        problems = [
            line
            for e in self.engines
            for line in (*_problems(e.engine, e.problem, e.differences), *_repeats(e), *_sizes(e))
        ]
        return "\n".join([*lines, *([""] if problems else []), *problems, *self._edges()])

    def outputs(self) -> str:
        """A table with a row per engine and output of the first call: type, largest and mean difference."""
        lines = [
            "| engine | output | type | largest difference | mean difference | verdict |",
            "|---|---|---|---|---|---|",
        ]
        for e in self.engines:
            for d in e.differences:
                if d.name.startswith("output "):
                    verdict = "PASSED" if d.passed else "FAILED"
                    lines.append(
                        f"| {e.engine} | {d.name} | {d.type} | {d.error:.3g} | {d.mean:.3g} | {verdict} |"
                    )
        return "\n".join(lines)

    def _edges(self) -> list[str]:
        """A row per engine and further call (edge values, sizes); then what differs or is left out."""
        lines: list[str] = []
        rows = [(e.engine, edge) for e in self.engines for edge in e.edges]
        if rows:
            lines += [
                "",
                "| engine | further call | values | largest error | verdict |",
                "|---|---|---|---|---|",
            ]
        for engine, edge in rows:
            error = max((d.error for d in edge.differences), default=0.0)
            verdict = _verdict(edge.passed, edge.problem)
            lines.append(f"| {engine} | {edge.kind} | {len(edge.differences)} | {error:.3g} | {verdict} |")
        problems = [
            line
            for engine, edge in rows
            for line in _problems(f"{engine}, {edge.kind}", edge.problem, edge.differences)
        ]
        if problems:
            problems.append("- differences that are known: docs/reference/differences.md")
        problems += [f"- {kind} left out: {reason}" for kind, reason in self.left_out.items()]
        return [*lines, *([""] if problems else []), *problems]

    def __str__(self) -> str:
        """The tables of `markdown` and `outputs`."""
        return f"{self.markdown()}\n\n{self.outputs()}"

    def _repr_html_(self) -> str:
        return as_html(str(self))

    def json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "source": self.source,
            "reference": self.reference,
            "passed": self.passed,
            "left_out": dict(self.left_out),
            "tolerance": None if self.given is None else self.given._asdict(),
            "engines": [
                {
                    "engine": e.engine,
                    "passed": e.passed,
                    "segments": e.segments,
                    "stablehlo_nodes": e.stablehlo_nodes,
                    "aten_nodes": e.aten_nodes,
                    "largest_error": e.largest_error,
                    "problem": e.problem,
                    "cache": dict(e.cache),
                    "repeats": _plain(e.repeats),
                    "reasons": dict(e.reasons),
                    "values": _values(e.differences),
                    "edges": [
                        {
                            "kind": edge.kind,
                            "passed": edge.passed,
                            "problem": edge.problem,
                            "values": _values(edge.differences),
                        }
                        for edge in e.edges
                    ],
                }
                for e in self.engines
            ],
        }


def _values(differences: tuple[Difference, ...]) -> list[dict[str, Any]]:
    return [
        {
            "name": d.name,
            "type": d.type,
            "error": d.error,
            "mean": d.mean,
            "histogram": list(d.histogram),
            "problem": d.problem,
        }
        for d in differences
    ]


def _plain(repeats: Repeats | None) -> dict[str, Any] | None:
    if repeats is None:
        return None
    return {
        "calls": repeats.calls,
        "different": repeats.different,
        "any_order": list(repeats.any_order),
        "values": _values(repeats.differences),
    }


def _calls(repeats: Repeats | None) -> str:
    """How many calls there were, and how they compare with each other."""
    if repeats is None:
        return "1"
    if repeats.different:
        return f"{repeats.different:,} of {repeats.calls:,} differ"
    return f"{repeats.calls:,}, {'within tolerance' if repeats.any_order else 'the same bits'}"


def _repeats(engine: EngineReport) -> list[str]:
    """The calls that differ from the first, and the nodes that sum in another order each time."""
    if engine.repeats is None:
        return []
    lines = [f"- {engine.engine}: {d.name} {d.problem}" for d in engine.repeats.differences]
    if engine.repeats.any_order:
        nodes = ", ".join(engine.repeats.any_order)
        lines.append(f"- {engine.engine}: sums in another order each time on several threads: {nodes}")
    return lines


def _verdict(passed: bool, problem: str) -> str:
    return "equal" if passed else "DIFFERENT" if not problem else "FAILED"


def _problems(who: str, problem: str, differences: tuple[Difference, ...]) -> list[str]:
    lines = [f"- {who}: {problem}"] if problem else []
    return lines + [f"- {who}: {d.name} {d.problem}" for d in differences if not d.passed]


def _sizes(engine: EngineReport) -> list[str]:
    """How the cache of segments compiled per size was used, if it was."""
    used = ", ".join(f"{count} {name}" for name, count in engine.cache.items() if count)
    return [f"- {engine.engine}: segments compiled per size: {used}"] if used else []
