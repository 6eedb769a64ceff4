"""The tables of a profile: the numbers of its rows, and bounded."""

from __future__ import annotations

import pytest

from bridge.profiling import Measured, Peak, kernels, parts
from bridge.report import profiles
from bridge.report.profiles import ProfileTable, profile_tables
from tests.bridge.profiling.profiles import kernel, mixed

MEASURED = Measured(mixed(*[kernel(f"kernel_{i}", i, 1, nodes=["a"]) for i in range(5)]), 0.25, 7)
PEAK = Peak(2e9, 1e9)


def tables(measured: Measured = MEASURED) -> dict[str, ProfileTable]:
    return {table.title: table for table in profile_tables(measured, PEAK, "fake")}


def test_the_call_as_a_whole() -> None:
    facts = dict(tables()["fake: a call"].rows)  # pyright: ignore[reportArgumentType, reportCallIssue]
    assert facts["milliseconds, median of calls without a profile"] == 250
    assert facts["calls of each"] == 7
    assert facts["this machine's GFLOP/s in a product"] == 2


def test_parts_have_the_numbers_of_their_rows() -> None:
    table = tables()["fake: its parts"]
    wanted = parts(MEASURED.profile, PEAK)
    assert [row[1:4] for row in table.rows] == [[r.count, r.seconds * 1e3, r.share] for r in wanted]
    assert all(len(row) == len(table.heads) for row in table.rows)
    assert {"segment 0 on fake", "import x (segment 0)"} <= {row[0] for row in table.rows}


def test_kernels_and_runs_name_their_nodes() -> None:
    made = tables()
    rows = made["fake: inside segments"].rows
    assert [row[0] for row in rows] == [row.name for row in kernels(MEASURED.profile)]
    assert {row[-1] for row in rows} == {"a"}
    assert made["fake: the dearest runs"].rows[0][2] == "a"
    assert "fake: inside segments" not in tables(Measured(mixed(), 1.0, 1))


def test_tables_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "_MOST_ROWS", 3)
    assert len(tables()["fake: inside segments"].rows) == 3
