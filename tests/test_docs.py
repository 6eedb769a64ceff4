"""The documentation tells the truth: its examples run, its links lead somewhere, its tables agree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

import bridge
from bridge.cli import app
from tests.examples import FENCE, ROOT, has_examples, run

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "third_party/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
EXECUTED = [page for page in PAGES if has_examples(page)]
_LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", EXECUTED, ids=_name)
def test_examples_run(page: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.examples", str(page)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_DATA_HOME": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("example", "complaint"),
    [
        ("```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n", "the example prints"),
        ("```console\n$ echo one two\none ... three\n```\n", "the example prints"),
        ("```console\n$ exit 3\n```\n", "exited with 3"),
    ],
)
def test_wrong_examples_are_noticed(example: str, complaint: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(example)
    with pytest.raises(AssertionError, match=complaint):
        run(page)


def test_lines_of_progress_are_left_out(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```console\n$ echo 'bridge: compiling for x: segment 1 of 2, 12 s' >&2; echo 1\n1\n```\n"
    )
    run(page)
    page.write_text("```console\n$ echo 'bridge: there is no file x' >&2; echo 1\n1\n```\n")
    with pytest.raises(AssertionError, match="the example prints"):
        run(page)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = [target for target in _LINK.findall(prose) if "://" not in target]
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


# `path/file.py`, `path/folder/`: in the prose, names of files of this repository.
_NAMED_FILE = re.compile(r"`((?:bridge|lowering|runtime|tests|benchmarks|third_party)/[\w./]*)`")


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_named_files_exist(page: Path) -> None:
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    assert not [name for name in _NAMED_FILE.findall(prose) if not (ROOT / name).exists()]


def test_every_page_is_linked() -> None:
    linked = {
        (page.parent / target).resolve()
        for page in PAGES
        for target in _LINK.findall(page.read_text(encoding="utf-8"))
        if "://" not in target
    }
    alone = [page for page in PAGES if page.name != "README.md" and page not in linked]
    assert not alone


def test_the_api_page_names_all_that_is_exported() -> None:
    text = (ROOT / "docs/reference/api.md").read_text(encoding="utf-8")
    assert [name for name in bridge.__all__ if name not in text and name != "__version__"] == []


def test_the_cli_page_names_every_command_and_option() -> None:
    text = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    commands = get_command(app).commands
    assert sorted(sections) == sorted(commands)
    limits = re.search(r"^## Limits\n(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL)
    assert limits is not None
    shared = limits[1]
    for name, command in commands.items():
        options = {option for parameter in command.params for option in parameter.opts if "--" in option}
        missing = {option for option in options if option not in sections[name] + shared}
        assert not missing, f"{name} lacks {missing}"


def test_the_tolerance_page_is_the_table() -> None:
    from bridge.verification.tolerances import TOLERANCES

    text = (ROOT / "docs/reference/tolerances.md").read_text(encoding="utf-8")
    rows = [
        f"| {dtype.value} | {kind.value} | {rtol:g} | {scale:g} |"
        for (dtype, kind), (rtol, scale) in TOLERANCES.items()
    ]
    assert [row for row in text.splitlines() if re.match(r"\| \w+ \| (pointwise|contraction)", row)] == rows


def test_the_pins_are_those_of_pyproject() -> None:
    text = (ROOT / "third_party/README.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    wanted = {
        requirement for group in groups for requirement in group if not requirement.startswith("bridge")
    }
    rows = set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))
    assert rows == wanted
