"""A profile in lines of text, and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bridge.compiled.profile import Profile
from bridge.profiling.costs import Costs
from bridge.profiling.peak import Peak
from bridge.profiling.rows import Row, kernels, parts, single

_KERNELS = 20
_SINGLE = 10
# A name longer than this loses its middle.
_WIDTH = 52


def table(profile: Profile, peak: Peak | None = None) -> str:
    """The parts of the call, the dearest kernels of engines, and the dearest nodes with their lines."""
    sections = [_parts(parts(profile, peak), peak)]
    inner = kernels(profile)
    if inner:
        sections.append(_kernels(inner, profile))
    sections.append(_single(profile))
    return "\n\n".join(section for section in sections if section)


def as_json(profile: Profile, peak: Peak | None = None) -> dict[str, Any]:
    """All rows as plain data; the dearest runs with their nodes' source lines and modules."""
    costs = Costs(profile)
    return {
        "engine": profile.engine,
        "seconds": profile.seconds,
        "copies": profile.copies,
        "peak": peak._asdict() if peak is not None else None,
        "parts": [row.json() for row in parts(profile, peak)],
        "kernels": [row.json() for row in kernels(profile)],
        "dearest": [
            {
                **row.json(),
                "where": [
                    {"node": node, "source": line, "module": path}
                    for node, line, path in costs.where(row.nodes)
                ],
            }
            for row in single(profile)[:_SINGLE]
        ],
    }


def _parts(rows: Sequence[Row], peak: Peak | None) -> str:
    header = ["part", "count", "ms", "share", "MB", "GFLOP", "GFLOP/s", "GB/s"]
    lines = [header + (["of peak"] if peak is not None else [])]
    for row in rows:
        flops, nbytes = row.flops / 1e9, row.nbytes / 1e9
        cells = [
            row_title(row),
            str(row.count),
            f"{row.seconds * 1e3:.3f}",
            f"{row.share:.1%}",
            f"{nbytes * 1e3:.2f}" if row.nbytes else "",
            f"{flops:.3f}" if row.flops else "",
            f"{flops / row.seconds:.1f}" if row.flops and row.seconds else "",
            f"{nbytes / row.seconds:.1f}" if row.nbytes and row.seconds else "",
        ]
        lines.append(cells + ([f"{row.of_peak:.0%}" if row.of_peak else ""] if peak is not None else []))
    return _aligned(lines)


def _kernels(rows: Sequence[Row], profile: Profile) -> str:
    lines = [["kernel", "on", "segment", "count", "ms", "share", "nodes"]]
    for row in rows[:_KERNELS]:
        nodes = few(row.nodes)
        lines.append(
            [
                _short(row.name),
                profile.placed[row.segment],
                str(row.segment),
                str(row.count),
                f"{row.seconds * 1e3:.3f}",
                f"{row.share:.1%}",
                nodes,
            ]
        )
    more = f"\n{len(rows) - _KERNELS} more" if len(rows) > _KERNELS else ""
    return _aligned(lines) + more


def _single(profile: Profile) -> str:
    costs = Costs(profile)
    lines = [["dearest", "ms", "node", "source", "module"]]
    for row in single(profile)[:_SINGLE]:
        first = True
        for node, line, path in costs.where(row.nodes) or [("", "", "")]:
            own = [_short(row.name), f"{row.seconds * 1e3:.3f}"] if first else ["", ""]
            lines.append([*own, node, _short(line), path])
            first = False
    return _aligned(lines) if len(lines) > 1 else ""


def row_title(row: Row) -> str:
    """A part of a call in words."""
    if row.kind == "execute":
        return f"segment {row.segment} on {row.name}"
    if row.kind in ("import", "export"):
        return f"{row.kind} {_short(row.name)} (segment {row.segment})"
    return _short(row.name) or row.kind


def few(names: Sequence[str], count: int = 4) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


def _short(text: str) -> str:
    half = _WIDTH // 2
    return text if len(text) <= _WIDTH else f"{text[: half - 2]}...{text[-half:]}"


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    """Columns: the first and the texts to the left, numbers to the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    numeric = [_is_number(line[i] for line in lines[1:]) for i in range(len(widths))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    )


def _is_number(cells: Any) -> bool:
    return all(cell.rstrip("%").replace(".", "").replace("-", "").isdigit() for cell in cells if cell)
