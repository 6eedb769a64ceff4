"""A fixed sample of the conformance run: the first sample of 50 operators, float32, on XLA."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tests.opdb import cases, selection
from tests.opdb.cases import Word, run_case
from tests.opdb.fingerprint import Sources

_COUNT = 50


def test_first_samples_equal_eager() -> None:
    """None different, none failed, and most lowered whole."""
    import torch

    torch.set_num_threads(1)
    sources = Sources()
    chosen = random.Random(20).sample(selection.names("float32"), _COUNT)
    rows = []
    for name in sorted(chosen):
        sample = selection.samples(name, "float32")[0]
        op = selection.database()[name].op
        rows.append(run_case(f"{name}/float32/0", op, sample, "xla", sources, None))
    bad = [row for row in rows if row.word in (Word.DIFFERENT.value, Word.FAILED.value)]
    assert not bad, [f"{row.case}: {row.word}: {row.reason}" for row in bad]
    words = Counter(row.word for row in rows)
    assert words[Word.LOWERED.value] >= 0.85 * _COUNT, words


def test_what_a_decision_refuses_is_counted_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another operator that is refused is a failure."""
    op, sources = selection.database()["to_sparse"].op, Sources()
    sample = selection.samples("to_sparse", "float32")[0]
    row = run_case("to_sparse/float32/0", op, sample, "xla", sources, None)
    assert (row.word, row.targets) == (Word.REFUSED.value, [])
    assert "a file may not call aten.to_sparse.default: it is for sparse" in row.reason
    monkeypatch.setattr(cases, "REFUSED", frozenset())
    assert run_case("to_sparse/float32/0", op, sample, "xla", sources, None).word == Word.FAILED.value
