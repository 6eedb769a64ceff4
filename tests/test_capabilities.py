"""The table of capabilities: every call exists and runs, and so does every command as it stands there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache, reduce
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.bridge.command_line import bridge_cli, ok
from tests.capabilities import calls
from tests.capabilities.commands import COMMANDS, SOURCES, Said
from tests.capabilities.scene import Scene, scene_in

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/reference/capabilities.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.split("|")[1:-1]]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| capability |")
]


def _calls(rows: list[list[str]]) -> list[str]:
    return sorted({call for row in rows for call in re.findall(r"`(bridge\.[\w.]+)`", row[1])})


def _commands(rows: list[list[str]]) -> list[str]:
    return sorted({command for row in rows for command in re.findall(r"`bridge ([^`]+)`", row[2])})


# A row of which nothing runs here names the tests that run it.
ELSEWHERE = [row for row in ROWS if "`tests/" in row[3]]
HERE = [row for row in ROWS if row not in ELSEWHERE]
TESTS = [test for row in ELSEWHERE for test in re.findall(r"`(tests/[^`]+)`", row[3])]


@cache
def _help(command: str) -> str:
    return ok(command, "--help")


@pytest.mark.parametrize("call", _calls(ROWS))
def test_a_call_exists(call: str) -> None:
    names = call.split(".")
    start: Any = import_module("bridge")
    if names[1] == "errors":
        start, names = import_module("bridge.errors"), names[1:]
    assert reduce(getattr, names[1:], start) is not None


@pytest.mark.parametrize("command", _commands(ROWS))
def test_a_command_has_its_options(command: str) -> None:
    name, *words = command.split()
    shown = _help(name)
    for option in (word for word in words if word.startswith("--")):
        assert option in shown


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The files, in a folder with a compile cache of its own: what one run compiles, the others find."""
    folder = tmp_path_factory.mktemp("capabilities")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRIDGE_CACHE_DIR", str(folder / "cache"))
        patch.setenv("BRIDGE_CACHE_BYTES", str(1 << 30))
        patch.syspath_prepend(str(folder))
        yield scene_in(folder)


@pytest.mark.parametrize("call", _calls(HERE))
def test_a_call_runs(call: str, scene: Scene) -> None:
    calls.CALLS[call](scene)


@pytest.mark.parametrize("command", _commands(HERE))
def test_a_command_runs(command: str, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(scene.folder)
    words = [SOURCES.get(command, "tiny.pt2") if word == "SOURCE" else word for word in command.split()]
    said = Said(*bridge_cli(*words))
    assert said.status == 0 or command in SOURCES, said.err
    COMMANDS[command](scene, said)


@pytest.mark.parametrize("test", TESTS)
def test_what_runs_elsewhere_is_there(test: str) -> None:
    file, name = test.split("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


def test_a_row_that_runs_elsewhere_says_why() -> None:
    for row in ELSEWHERE:
        assert re.match(r"[^`]+: `tests/", row[3])
    assert all(row[3] == "" for row in HERE)


def test_each_row_has_a_call_or_a_command() -> None:
    for row in HERE:
        assert _calls([row]) or _commands([row])
    assert len(HERE) > len(ROWS) - 3 > 18


def test_nothing_runs_that_is_not_in_the_table() -> None:
    assert calls.CALLS.keys() == set(_calls(HERE))
    assert COMMANDS.keys() == set(_commands(HERE))
    assert SOURCES.keys() <= COMMANDS.keys()
