"""The table of `python -m tests.mutations` fits the tree, and the command tells what it would do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import fast
from tests.mutations.table import MUTATIONS, Mutation

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: f"{mutation.file}:{mutation.old!r}")
def test_an_edit_fits_its_file_and_leaves_it_a_program(mutation: Mutation) -> None:
    edited = mutation.apply((ROOT / mutation.file).read_text())
    compile(edited, mutation.file, "exec")
    for name in mutation.mirrors:
        assert (ROOT / name).exists()
        assert not fast.leaves_out(name)


def test_an_edit_that_does_not_fit_is_an_error() -> None:
    edit = Mutation("a.py", "x", "y")
    assert edit.apply("x = 1") == "y = 1"
    for text in ("z = 1", "x = x"):
        with pytest.raises(ValueError, match=r"^a.py has [02] times: x$"):
            edit.apply(text)


def test_no_edit_is_there_twice() -> None:
    assert len(set(MUTATIONS)) == len(MUTATIONS) == 60
