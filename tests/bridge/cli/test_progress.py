"""Progress is a spinner on a terminal and lines in a pipe, and its parts are logged."""

from __future__ import annotations

import logging
import sys
import time

import pytest

from bridge.cli import progress
from bridge.progress import part
from tests.bridge.command_line import ok
from tests.bridge.samples import path_of


def test_a_pipe_gets_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "_quiet", False)
    monkeypatch.setattr(progress._InPipe, "first", 0.01)
    monkeypatch.setattr(progress._InPipe, "following", 0.01)
    with progress.working("compiling"):
        while "bridge: compiling, 0 s" not in (text := capsys.readouterr().err):
            time.sleep(0.01)
        with part("segment 2 of 5"):
            while "bridge: compiling: segment 2 of 5, " not in (text := capsys.readouterr().err):
                time.sleep(0.01)
    assert text.endswith("s\n")


def test_a_terminal_gets_a_spinner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_quiet", False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress.working("compiling [x]"), part("segment 1 of 1"):
        pass


def test_quiet_and_verbose(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(progress, "_quiet", True)
    with caplog.at_level(logging.INFO, "bridge"):
        ok("verify", path_of("mlp"), "-e", "aten")
    parts = [record.message.partition(":")[0] for record in caplog.records]
    assert {"reading the program", "placing 5 nodes", "eager", "aten"} <= set(parts)
