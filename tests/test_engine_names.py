"""No source of the product names an engine, but for the table of targets and the engine's own folder."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

import pytest

from lowering.targets import ENGINES

ROOT = Path(__file__).parents[1]
TARGETS = "lowering/targets/"
TABLE = f"{TARGETS}__init__.py"

_KINDS = {tokenize.NAME, tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", -1)}


def named(source: str, engine: str) -> list[str]:
    """The places of names, strings and comments that hold the engine's name as a word or part of a name."""
    word = re.compile(rf"(?<![a-z]){engine}(?![a-z])", re.IGNORECASE)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [
        f"{token.start[0]}: {token.string}"
        for token in tokens
        if token.type in _KINDS and word.search(token.string)
    ]


def sources(engine: str) -> list[Path]:
    own = (TABLE, f"{TARGETS}{engine}/")
    files = (file for top in ("bridge", "lowering", "runtime") for file in (ROOT / top).rglob("*.py"))
    return [file for file in files if not file.relative_to(ROOT).as_posix().startswith(own)]


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_is_named_in_its_folder_and_in_the_table(engine: str) -> None:
    files = sources(engine)
    assert len(files) > 200
    found = {str(file.relative_to(ROOT)): named(file.read_text(), engine) for file in files}
    assert {file: places for file, places in found.items() if places} == {}


@pytest.mark.parametrize(
    "line", ["x = 'on XLA'", "# for xla", "xla_flags = 1", "y = f'{x} xla'", "import xla"]
)
def test_a_name_is_found(line: str) -> None:
    assert named(f"relaxla = 1\n{line}\n", "xla") != []
    assert named("relaxla = 1\n", "xla") == []
