"""A report's sections hold the numbers of their sources, and a report of a small model is small."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.cli.summary import summary
from bridge.report.document import graph_page, report_page
from bridge.report.profiles import ProfileTable
from bridge.verification.compare import DECADES, Difference
from bridge.verification.report import EngineReport, VerificationReport
from tests.bridge.report.bert import bert, bert_report
from tests.bridge.report.test_page import data_of
from tests.bridge.samples import NAMES, lowered


@pytest.mark.parametrize("name", NAMES)
def test_a_report_is_small_and_has_its_sections(name: str) -> None:
    made = lowered(name)
    text = report_page(made, name, summary(made))
    assert len(text) < 200_000
    data = data_of(text)
    assert data["title"] == name
    assert {"summary", "graph", "weights", "stablehlo"} <= data.keys()
    assert data["verification"] is None


def test_a_report_of_bert_base_is_under_3_mb() -> None:
    text = bert_report()
    assert len(text.encode()) < 3_000_000
    assert len(data_of(text)["weights"]["rows"]) == len(bert().program.weights)


def test_weights_are_listed_with_their_share() -> None:
    made = lowered("convnet")
    weights = data_of(report_page(made, "", summary(made)))["weights"]
    rows = {row[0]: row[1:] for row in weights["rows"]}
    assert rows["conv.weight"][:4] == ["parameter", "f32[8, 3, 3, 3]", 216, 864]
    assert sum(row[-1] for row in weights["rows"]) == pytest.approx(1)
    assert weights["more"] == 0


def test_the_summary_is_that_of_info() -> None:
    made = lowered("convnet")
    data = data_of(report_page(made, "", summary(made)))["summary"]
    facts = dict(data["facts"])
    assert facts["Parameters"] == "277"
    assert facts["Nodes"] == "8 on stablehlo, 0 on aten"
    assert data["inputs"] == [["x", "f32[2, 3, 16, 16]"]]
    assert ["aten.conv2d.default", 1] in data["operators"]


def test_gaps_have_their_reasons() -> None:
    made = lowered("convnet")
    found = {**summary(made), "aten": [{"node": "n", "op": "aten.x", "where": "f.py:1", "reason": "no rule"}]}
    data = data_of(report_page(made, "", found))["summary"]
    assert data["gaps"] == [["n", "aten.x", "f.py:1", "no rule"]]


def test_verification_has_a_histogram_per_value() -> None:
    made = lowered("convnet")
    bars = (7, *range(len(DECADES) + 1))
    value = Difference("output 0", 0.5, "", 0.25, "float32[2]", bars)
    report = VerificationReport("f", "eager", (EngineReport("e", 1, 1, 0, (value,)),))
    data = data_of(report_page(made, "", summary(made), report))["verification"]
    assert data["decades"] == list(DECADES)
    assert data["engines"][0]["values"][0]["histogram"] == list(bars)


def test_a_profile_is_shown_where_there_is_one() -> None:
    made = lowered("convnet")
    table = ProfileTable("by operator", ["operator", "ms"], [["aten.conv2d.default", 1.5]])
    data = data_of(report_page(made, "", summary(made), profile=[table]))
    assert data["profile"] == [
        {"title": "by operator", "heads": ["operator", "ms"], "rows": [["aten.conv2d.default", 1.5]]}
    ]


def test_a_page_of_the_graph_has_nothing_else() -> None:
    made = lowered("convnet")
    assert data_of(graph_page(replace(made), "t")).keys() == {"title", "graph"}
