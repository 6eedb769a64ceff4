"""The product's comments, docstrings and pages have nouns for subjects, and deny with `not`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.english import fault, of_page, of_source

ROOT = Path(__file__).parents[1]
# Their sentences wait for a rewrite.
LATER = tuple(f"lowering/stablehlo/{name}.py" for name in ("ops/bags", "ops/histograms", "bounds"))
SOURCES = [
    file
    for top in ("bridge", "lowering", "runtime")
    for file in sorted((ROOT / top).rglob("*.py"))
    if not file.relative_to(ROOT).as_posix().startswith(LATER)
]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), ROOT / "third_party/README.md"]


@pytest.mark.parametrize(("files", "sentences"), [(SOURCES, of_source), (PAGES, of_page)], ids=["py", "md"])
def test_sentences_have_no_fault(files: list[Path], sentences: Callable[[str], Iterable[str]]) -> None:
    assert len(files) > 40
    found = {
        f"{file.relative_to(ROOT)}: {sentence}": problem
        for file in files
        for sentence in sentences(file.read_text())
        if (problem := fault(sentence))
    }
    assert found == {}


FAULTS = [
    "What a call returns.",
    "**Who calls.** Those that wait go first.",
    "Whoever calls waits.",
    "[What it is](a.md) is there.",
    "A key is no name.",
    "There are no keys.",
]


@pytest.mark.parametrize("sentence", FAULTS)
def test_a_fault_is_found_in_each_place(sentence: str) -> None:
    source = f'"""First line.\n\n{sentence}\n"""\n\nx = 1  # {sentence}\n# Before it.\n# {sentence}\n'
    assert [bool(fault(text)) for text in of_source(source)].count(True) == 3
    page = f"# Title\n\nBefore. {sentence}\n\n- {sentence}\n\n| {sentence} | |\n\n```text\n{sentence}\n```\n"
    assert [bool(fault(text)) for text in of_page(page)].count(True) == 3


@pytest.mark.parametrize("sentence", ["What is it?", "It is no longer there.", "A sum that is not a number."])
def test_a_good_sentence_passes(sentence: str) -> None:
    assert fault(sentence) == ""
