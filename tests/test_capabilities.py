"""Every call of the table of capabilities exists, and so does every command with its options."""

from __future__ import annotations

import re
from functools import cache, reduce
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.bridge.command_line import ok

PAGE = (Path(__file__).parents[1] / "docs/reference/capabilities.md").read_text(encoding="utf-8")
ROWS = [line.split(" | ") for line in PAGE.splitlines() if line.startswith("| ") and "| call |" not in line]
CALLS = sorted({call for row in ROWS for call in re.findall(r"`(bridge\.[\w.]+)`", row[1])})
COMMANDS = sorted({command for row in ROWS for command in re.findall(r"`bridge ([^`]+)`", row[-1])})


@cache
def _help(command: str) -> str:
    return ok(command, "--help")


@pytest.mark.parametrize("call", CALLS)
def test_a_call_exists(call: str) -> None:
    names = call.split(".")
    start: Any = import_module("bridge")
    if names[1] == "errors":
        start, names = import_module("bridge.errors"), names[1:]
    assert reduce(getattr, names[1:], start) is not None


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_has_its_options(command: str) -> None:
    name, *words = command.split()
    shown = _help(name)
    for option in (word for word in words if word.startswith("--")):
        assert option in shown


def test_the_table_is_read() -> None:
    assert len(CALLS) > 15
    assert len(COMMANDS) > 15
