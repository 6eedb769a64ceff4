"""The report: fallbacks are noted once and bounded, counters and nodes are counted by where they run."""

from __future__ import annotations

import json

from lowering.ir.plan import Placement, Plan, Segment
from runtime.report import MAX_FALLBACKS, Fallback, Report

PLAN = Plan(
    (
        Segment(0, Placement.STABLEHLO, ("a", "b"), (), ("b",)),
        Segment(1, Placement.ATEN, ("c",), ("b",), ("c",)),
        Segment(2, Placement.STABLEHLO, ("d",), ("c",), ("d",)),
    ),
    {"c": "no rule"},
)


def test_a_fallback_is_noted_once_and_not_without_end() -> None:
    report = Report(PLAN, "fake")
    for _ in range(2):
        for size in range(MAX_FALLBACKS + 3):
            report.fall_back(Fallback(0, {"s0": size}, "refused"))
    assert [fallback.sizes["s0"] for fallback in report.fallbacks] == list(range(MAX_FALLBACKS))


def test_nodes_are_counted_where_they_run() -> None:
    report = Report(PLAN, "fake")
    assert (report.nodes(Placement.STABLEHLO), report.nodes(Placement.ATEN)) == (3, 1)


def test_as_plain_data() -> None:
    report = Report(PLAN, "fake", hits=2, misses=1, postponed=4)
    report.fall_back(Fallback(2, {"s0": 5}, "refused", "d"))
    found = json.loads(json.dumps(report.json()))
    assert (
        found["cache"]
        == report.cache
        == {"hits": 2, "misses": 1, "evictions": 0, "postponed": 4, "deferred": 0}
    )
    assert found["segments"][1] == {"index": 1, "placement": "aten", "nodes": 1}
    assert found["nodes"] == {"stablehlo": 3, "aten": 1}
    assert found["fallbacks"] == [{"segment": 2, "sizes": {"s0": 5}, "reason": "refused"}]
