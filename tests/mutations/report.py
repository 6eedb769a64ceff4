"""docs/mutations.md: how many of the edits tests notice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tests.mutations.table import MUTATIONS, Mutation

_HEAD = """\
# Edits that tests notice

`python -m tests.mutations` makes each of {count} small edits (`tests/mutations/table.py`) in a copy of the
tree, and runs the fast tests that mirror the edited file: they must fail. As last measured (`--report` writes
this page):

| folder | edits | noticed |
|---|---|---|
"""


def write_report(path: Path, survivors: Sequence[Mutation]) -> None:
    edits, left = _by_folder(MUTATIONS), _by_folder(survivors)
    lines = [f"| `{folder}/` | {count} | {count - left[folder]} |" for folder, count in edits.items()]
    lines.append(f"| all | {len(MUTATIONS)} | {len(MUTATIONS) - len(survivors)} |")
    text = _HEAD.format(count=len(MUTATIONS)) + "\n".join(lines) + "\n"
    if survivors:
        text += "\nThese are not noticed:\n\n"
        rows = ((item.file, item.old.strip(), item.new.strip()) for item in survivors)
        text += "".join(f"- `{file}`: `{old}` as `{new}`\n" for file, old, new in rows)
    path.write_text(text)


def _by_folder(mutations: Sequence[Mutation]) -> Counter[str]:
    return Counter(str(PurePosixPath(mutation.file).parent) for mutation in mutations)
