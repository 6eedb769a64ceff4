"""`bridge doctor` says what works here, and fails where nothing does."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError

import pytest

from bridge.cli import doctor
from lowering.ir.errors import EngineError
from tests.bridge.command_line import bridge_cli, ok


def test_every_engine_and_package_has_a_line() -> None:
    rows = json.loads(ok("doctor", "--json"))
    works = {row["subject"]: row["works"] for row in rows}
    assert {"bridge", "processor", "torch", "jaxlib", "engine aten on cpu", "compile cache"} <= set(works)
    assert works["engine xla on cpu"]
    assert works["engine iree on cpu"]
    assert len(ok("doctor").splitlines()) == len(rows)


def test_a_package_that_is_missing_says_what_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "version", version)
    out = ok("doctor")
    assert "--  torch: is missing; it is for models in memory" in out
    assert "--  iree-base-runtime: is missing; it is for the engine iree" in out


def test_without_any_engine_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def engine(name: str) -> None:
        raise EngineError("is not there")

    monkeypatch.setattr(doctor, "get_engine", engine)
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    status, out, _ = bridge_cli("doctor")
    assert status == 1
    assert "--  engine xla on cpu: is not there" in out
