"""`bridge report`: one HTML file, with verification where it is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.verification.report import VerificationReport
from tests.bridge.command_line import bridge_cli, ok, refused
from tests.bridge.report.test_page import data_of
from tests.bridge.samples import path_of

FILE = path_of("mlp")


def test_a_report_without_verification(tmp_path: Path) -> None:
    out = tmp_path / "r.html"
    assert ok("report", FILE, "-o", out) == f"wrote {out}\n"
    data = data_of(out.read_text())
    assert data["title"] == "mlp.pt2"
    assert data["verification"] is None
    assert data["summary"]["inputs"]
    facts = dict(data["summary"]["facts"])
    assert facts["Memory of a call"].endswith(" bytes (a bound of the IR)")


def test_a_report_with_verification(tmp_path: Path) -> None:
    ok("report", FILE, "-o", tmp_path / "r.html", "--verify", "-e", "aten")
    (engine,) = data_of((tmp_path / "r.html").read_text())["verification"]["engines"]
    assert engine["engine"] == "aten"
    assert engine["passed"]
    assert all(sum(value["histogram"]) > 0 for value in engine["values"])


def test_a_report_with_a_profile(tmp_path: Path) -> None:
    ok("report", FILE, "-o", tmp_path / "r.html", "--profile", "-e", "aten")
    data = data_of((tmp_path / "r.html").read_text())
    (parts,) = [table for table in data["profile"] if table["title"] == "aten: its parts"]
    assert parts["heads"][:4] == ["part", "count", "ms", "share"]
    assert sum(row[3] for row in parts["rows"]) == pytest.approx(1)
    assert data["verification"] is None


def test_a_difference_is_reported_and_the_status_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(VerificationReport, "passed", False)
    status, _, _ = bridge_cli("report", FILE, "-o", tmp_path / "r.html", "--verify", "-e", "aten")
    assert status == 1
    assert not data_of((tmp_path / "r.html").read_text())["verification"]["passed"]


def test_what_cannot_be_is_refused() -> None:
    refused("r.txt: a report is an .html file", "report", FILE, "-o", "r.txt")
    refused("engine 'nowhere'", "report", FILE, "-o", "r.html", "-e", "nowhere")
