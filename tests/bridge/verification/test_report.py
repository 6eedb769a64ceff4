"""The report passes where all of its parts do, and says what did not as text and as plain data."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.verification.compare import Difference
from bridge.verification.repeat import Repeats
from bridge.verification.report import EdgeReport, EngineReport, VerificationReport

SAME, OTHER = Difference("output 0", 1e-7), Difference("output 0", 2.0, "differs")


def row(**changes: Any) -> EngineReport:
    return EngineReport("fake", 1, 2, 0, **({"differences": (SAME,)} | changes))


def report(*rows: EngineReport) -> VerificationReport:
    return VerificationReport("model.pt2", "eager", rows, {})


@pytest.mark.parametrize(
    "changes",
    [
        {"differences": (SAME, OTHER)},
        {"problem": "the engine failed"},
        {"repeats": Repeats(3, 1, (OTHER,))},
        {"edges": (EdgeReport("NaN", (OTHER,)),)},
        {"edges": (EdgeReport("NaN", (), "it failed"),)},
    ],
    ids=["a difference", "an error", "a repeat", "an edge", "an error on an edge"],
)
def test_one_part_that_fails_fails_it(changes: dict[str, Any]) -> None:
    assert row().passed
    assert not row(**changes).passed
    assert not report(row(), row(**changes)).passed
    assert report(row(), row()).passed


def test_edges_are_no_part_of_the_ordinary_calls() -> None:
    found = row(edges=(EdgeReport("NaN", (OTHER,)),))
    assert found.ordinary_passed
    assert found.largest_error == 1e-7


def test_as_plain_data_and_as_text() -> None:
    found = report(row(differences=(SAME, OTHER)))
    data = json.loads(json.dumps(found.json()))
    assert data["passed"] is False
    assert data["engines"][0]["engine"] == "fake"
    assert "output 0" in str(found)
    assert "differs" in str(found)
