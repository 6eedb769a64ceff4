"""What verification found, as a value, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.verification.compare import Difference


@dataclass(frozen=True, slots=True)
class EngineReport:
    """One engine against eager.

    `differences`: one entry per compared value (`output 0`, `input x after the call`, `buffer k after the
    call`). `reasons`: why each ATen node is on ATen. `problem`: the error that stopped it, if one did.
    `cache`: hits, misses, evictions and postponements of the cache of segments compiled per size.
    """

    engine: str
    segments: int
    stablehlo_nodes: int
    aten_nodes: int
    differences: tuple[Difference, ...]
    reasons: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    cache: Mapping[str, int] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return not self.problem and all(d.passed for d in self.differences)

    @property
    def largest_error(self) -> float:
        """The largest absolute error of any value."""
        return max((d.error for d in self.differences), default=0.0)


@dataclass(frozen=True, slots=True)
class Report:
    """The result of `bridge.verify`."""

    source: str
    reference: str
    engines: tuple[EngineReport, ...]

    @property
    def passed(self) -> bool:
        """Whether every engine gave what eager gives."""
        return all(engine.passed for engine in self.engines)

    def markdown(self) -> str:
        """A table with one row per engine, then a line per value that differs."""
        lines = [
            "| engine | segments | on StableHLO | on ATen | values compared | largest error | verdict |",
            "|---|---|---|---|---|---|---|",
        ]
        for e in self.engines:
            verdict = "equal" if e.passed else "DIFFERENT" if not e.problem else "FAILED"
            lines.append(
                f"| {e.engine} | {e.segments} | {e.stablehlo_nodes} | {e.aten_nodes} "
                f"| {len(e.differences)} | {e.largest_error:.3g} | {verdict} |"
            )
        problems = [line for e in self.engines for line in (*_problems(e), *_sizes(e))]
        return "\n".join([*lines, *([""] if problems else []), *problems])

    def json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "source": self.source,
            "reference": self.reference,
            "passed": self.passed,
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
                    "reasons": dict(e.reasons),
                    "values": [
                        {"name": d.name, "error": d.error, "problem": d.problem} for d in e.differences
                    ],
                }
                for e in self.engines
            ],
        }


def _problems(engine: EngineReport) -> list[str]:
    lines = [f"- {engine.engine}: {engine.problem}"] if engine.problem else []
    return lines + [f"- {engine.engine}: {d.name} {d.problem}" for d in engine.differences if not d.passed]


def _sizes(engine: EngineReport) -> list[str]:
    """How the cache of segments compiled per size was used, if it was."""
    used = ", ".join(f"{count} {name}" for name, count in engine.cache.items() if count)
    return [f"- {engine.engine}: segments compiled per size: {used}"] if used else []
