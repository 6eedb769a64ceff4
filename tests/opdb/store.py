"""The results that are kept between runs: JSON lines, the last of a case counts."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict
from pathlib import Path

from tests.opdb.cases import Row

FOLDER = Path(__file__).parents[2] / "out" / "opdb"


def load(engine: str, suite: str) -> dict[str, Row]:
    """The kept rows of an engine and suite by case; a line that a killed run left half is skipped."""
    rows: dict[str, Row] = {}
    path = _path(engine, suite)
    if not path.is_file():
        return rows
    for line in path.read_text().splitlines():
        try:
            row = Row(**json.loads(line))
        except (ValueError, TypeError):
            continue
        rows[row.case] = row
    return rows


def append(engine: str, suite: str, row: Row) -> None:
    """Keep a row at once: whatever happens next, it is there."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with _path(engine, suite).open("a") as file:
        file.write(json.dumps(asdict(row)) + "\n")


def compact(engine: str, suite: str) -> None:
    """Rewrite the file with one line for each case, those of other processes too."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(asdict(row)) + "\n" for _, row in sorted(load(engine, suite).items())]
    _path(engine, suite).write_text("".join(lines))


def _path(engine: str, suite: str) -> Path:
    return FOLDER / f"{engine}-{suite}.jsonl"


class Incomplete(Exception):
    """Pages are not written from a part of the results."""


def require(kept: Collection[tuple[str, str]], wanted: Iterable[tuple[str, str]]) -> None:
    """Raise Incomplete, naming what there are no results of."""
    lacking = [" ".join(pair) for pair in wanted if pair not in kept]
    if lacking:
        raise Incomplete(f"the pages stay as they are: no results are kept of {', '.join(lacking)}")
