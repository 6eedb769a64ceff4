"""Runs the examples of a page of documentation in the current folder: `python -m tests.examples PAGE`.

A fenced block marked `python` is executed; a `text` block right after it is what it prints. In a block marked
`console`, each `$ ` line is run by bash and must succeed; lines after it are what it prints, `...` standing
for anything. Blocks run in order and share their variables. Blocks marked otherwise (`sh`, `text`,
`mermaid`) are not run.
"""

from __future__ import annotations

import doctest
import io
import linecache
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND_TIMEOUT_S = 120
# A line of progress, which a command prints where it takes its time.
_PROGRESS = re.compile(r"^bridge: .*, \d+ s\n", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block. `expected`: the `text` block right after it, if there is one."""

    language: str
    line: int
    text: str
    expected: str | None


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = list(FENCE.finditer(text))
    blocks: list[Block] = []
    for index, match in enumerate(found):
        after = found[index + 1] if index + 1 < len(found) else None
        is_output = after and after[1] == "text" and not text[match.end() : after.start()].strip()
        line = text.count("\n", 0, match.start()) + 2
        blocks.append(Block(match[1], line, match[2], after[2] if after and is_output else None))
    return blocks


def has_examples(page: Path) -> bool:
    return any(block.language in ("python", "console") for block in blocks_of(page))


def commands_of(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a `console` block and the output that is shown for it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        while command.endswith("\\"):
            more, _, output = output.partition("\n")
            command = f"{command[:-1]}{more.strip()}"
        yield command, output


def run(page: Path) -> None:
    """Run a page's examples; raises AssertionError for the first whose output is not what the page shows."""
    variables: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks_of(page):
        place = f"{page.name}:{block.line}"
        if block.language == "python":
            _run_python(block, place, variables)
        elif block.language == "console":
            for command, expected in commands_of(block.text):
                _run_command(command, expected, place)


def _run_python(block: Block, place: str, variables: dict[str, Any]) -> None:
    source = "\n" * (block.line - 1) + block.text
    # torch.export looks up the source lines of what it traces.
    linecache.cache[place] = (len(source), None, source.splitlines(keepends=True), place)
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(source, place, "exec"), variables)
    if block.expected is not None:
        _check(printed.getvalue(), block.expected, place)


def _run_command(command: str, expected: str, place: str) -> None:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        ["bash", "-c", command],
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_COMMAND_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{place}: `{command}` exited with {done.returncode}:\n{done.stdout}"
    if expected.strip():
        _check(_PROGRESS.sub("", done.stdout), expected, place)


def _check(actual: str, expected: str, place: str) -> None:
    actual, expected = actual.strip() + "\n", expected.strip() + "\n"
    same = doctest.OutputChecker().check_output(expected, actual, doctest.ELLIPSIS)
    assert same, f"{place} shows\n{expected}\nand the example prints\n{actual}"


if __name__ == "__main__":
    run(Path(sys.argv[1]))
