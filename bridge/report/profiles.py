"""The tables of a profile, as a page shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bridge.compiled.profile import Profile
from bridge.profiling.calls import Measured
from bridge.profiling.costs import Costs
from bridge.profiling.peak import Peak
from bridge.profiling.rows import Row, kernels, parts, single
from bridge.profiling.tables import few, row_title

# Longer tables are slow to show.
_MOST_ROWS = 500
_SINGLE = 50

Cell = str | float


class ProfileTable(NamedTuple):
    """A table of the profile's section: cells are texts and numbers. The page draws a column `share`."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def profile_tables(measured: Measured, peak: Peak, engine: str) -> list[ProfileTable]:
    """The call as a whole, its parts, the kernels of engines, and the dearest runs with their source lines.

    `engine`: begins each title.
    """
    profile = measured.profile
    found = [
        ProfileTable(f"{engine}: a call", ["", ""], _call(measured, peak)),
        ProfileTable(f"{engine}: its parts", *_parts(parts(profile, peak))),
        ProfileTable(f"{engine}: inside segments", *_kernels(kernels(profile), profile)),
        ProfileTable(f"{engine}: the dearest runs", *_single(profile)),
    ]
    return [table for table in found if table.rows]


def _call(measured: Measured, peak: Peak) -> list[list[Cell]]:
    profile = measured.profile
    return [
        ["milliseconds, median of calls without a profile", measured.plain_seconds * 1e3],
        ["milliseconds, of the profiled call of median time", profile.seconds * 1e3],
        ["calls of each", measured.calls],
        ["tensors copied into engines", profile.copies],
        ["this machine's GFLOP/s in a product", peak.flops / 1e9],
        ["this machine's GB/s in a copy", peak.nbytes / 1e9],
    ]


def _parts(rows: Sequence[Row]) -> tuple[list[str], list[list[Cell]]]:
    heads = ["part", "count", "ms", "share", "MB", "GFLOP", "GFLOP/s", "GB/s", "of peak"]
    return heads, [
        [
            row_title(row),
            row.count,
            row.seconds * 1e3,
            row.share,
            row.nbytes / 1e6 or "",
            row.flops / 1e9 or "",
            row.flops / 1e9 / row.seconds if row.flops and row.seconds else "",
            row.nbytes / 1e9 / row.seconds if row.nbytes and row.seconds else "",
            f"{row.of_peak:.0%}" if row.of_peak else "",
        ]
        for row in rows[:_MOST_ROWS]
    ]


def _kernels(rows: Sequence[Row], profile: Profile) -> tuple[list[str], list[list[Cell]]]:
    heads = ["kernel", "on", "segment", "count", "ms", "share", "nodes"]
    return heads, [
        [
            row.name, profile.placed[row.segment], row.segment, row.count, row.seconds * 1e3, row.share,
            few(row.nodes, 12),
        ]
        for row in rows[:_MOST_ROWS]
    ]  # fmt: skip


def _single(profile: Profile) -> tuple[list[str], list[list[Cell]]]:
    """A run of several nodes has a row for each, and its time in the first."""
    costs = Costs(profile)
    rows: list[list[Cell]] = []
    for row in single(profile)[:_SINGLE]:
        own: list[Cell] = [row.name, row.seconds * 1e3]
        for node, line, path in costs.where(row.nodes) or [("", "", "")]:
            rows.append([*own, node, line, path])
            own = ["", ""]
    return ["run", "ms", "node", "source line", "module"], rows
