"""A profile as rows: parts of the call that sum to it, and the kernels that engines ran inside them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.compiled.profile import Profile, Span
from bridge.profiling.attribution import attributed
from bridge.profiling.costs import Costs
from bridge.profiling.peak import Peak

# The spans that hold no others but kernels; what is between them is a row of its own.
_PARTS = ("bind", "import", "operator", "execute", "export", "results")


@dataclass(frozen=True)
class Row:
    """Spans of one kind and name together.

    `kind`: as of a span, or `between` for the time in no span. `segment`: -1 where it is of none or several.
    `share`: of the call, or for a kernel of the kernels of its segment. `nbytes` and `flops`: of all spans
    together, 0 for kernels. `of_peak`: the share of the time that the machine's peak would take.
    """

    kind: str
    name: str
    segment: int
    count: int
    seconds: float
    share: float
    nbytes: int = 0
    flops: int = 0
    of_peak: float = 0.0
    nodes: tuple[str, ...] = ()

    def json(self) -> dict[str, Any]:
        """The row as plain data."""
        return {
            "kind": self.kind,
            "name": self.name,
            "segment": self.segment if self.segment >= 0 else None,
            "count": self.count,
            "seconds": self.seconds,
            "share": self.share,
            "bytes": self.nbytes,
            "flops": self.flops,
            "of_peak": self.of_peak,
            "nodes": list(self.nodes),
        }


def parts(profile: Profile, peak: Peak | None = None) -> list[Row]:
    """The parts of the call, dearest first; their shares sum to 1.

    A row is an operator on the host target, a segment on an engine, an import or an export. The last kind is
    `between`: the time that is in no span.
    """
    costs = Costs(profile)
    groups: dict[tuple[str, str, int], list[Span]] = defaultdict(list)
    for span in profile.of(*_PARTS):
        name, segment = (span.name, span.segment) if span.kind != "operator" else (span.name, -1)
        groups[span.kind, name, segment].append(span)
    rows = []
    for (kind, name, segment), spans in groups.items():
        seconds = sum(span.seconds for span in spans)
        names, nbytes, flops = _costs(profile, costs, spans)
        of_peak = peak.share(flops, nbytes, seconds) if peak is not None else 0.0
        share = seconds / profile.seconds
        rows.append(Row(kind, name, segment, len(spans), seconds, share, nbytes, flops, of_peak, names))
    left = profile.seconds - sum(row.seconds for row in rows)
    rows.append(Row("between", "", -1, 1, left, left / profile.seconds))
    return _dearest(rows)


def _costs(profile: Profile, costs: Costs, spans: Iterable[Span]) -> tuple[tuple[str, ...], int, int]:
    """The nodes of some spans of one kind, bytes and floating-point operations."""
    names: list[str] = []
    nbytes = flops = 0
    for span in spans:
        own = span.nodes
        if span.kind == "execute":
            own = profile.segments[span.segment].nodes
        elif span.kind in ("import", "export"):
            nbytes += costs.size_of(span.name)
        names += own
        nbytes += costs.nbytes(own)
        flops += costs.flops(own)
    return tuple(names), nbytes, flops


def kernels(profile: Profile) -> list[Row]:
    """The kernels that engines ran inside segments, dearest first."""
    by_segment: dict[int, list[Span]] = defaultdict(list)
    for span in profile.of("kernel"):
        by_segment[span.segment].append(span)
    rows: list[Row] = []
    for segment, spans in by_segment.items():
        seconds = attributed(spans)
        total = sum(seconds) or 1.0
        groups: dict[str, list[int]] = defaultdict(list)
        for index, span in enumerate(spans):
            groups[span.name].append(index)
        for name, indices in groups.items():
            own = sum(seconds[i] for i in indices)
            nodes = tuple(dict.fromkeys(node for i in indices for node in spans[i].nodes))
            rows.append(Row("kernel", name, segment, len(indices), own, own / total, nodes=nodes))
    return _dearest(rows)


def single(profile: Profile) -> list[Row]:
    """Each run of an operator and of a kernel by itself, dearest first."""
    costs = Costs(profile)
    rows = [
        Row(
            "operator", span.name, span.segment, 1, span.seconds, span.seconds / profile.seconds,
            costs.nbytes(span.nodes), costs.flops(span.nodes), nodes=span.nodes,
        )
        for span in profile.of("operator")
    ]  # fmt: skip
    spans = profile.of("kernel")
    totals = _kernel_seconds(spans)
    for span, own in zip(spans, totals, strict=True):
        rows.append(Row("kernel", span.name, span.segment, 1, own, own / profile.seconds, nodes=span.nodes))
    return _dearest(rows)


def _kernel_seconds(spans: list[Span]) -> list[float]:
    found: Mapping[int, float] = {}
    for segment in {span.segment for span in spans}:
        places = [i for i, span in enumerate(spans) if span.segment == segment]
        own = attributed([spans[i] for i in places])
        found = {**found, **dict(zip(places, own, strict=True))}
    return [found[i] for i in range(len(spans))]


def _dearest(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: -row.seconds)
