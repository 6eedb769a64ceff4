"""Every example of `torch._export.db`: several calls in a row equal eager, results, arguments and buffers."""

from __future__ import annotations

import pytest
import torch

from tests.databases import examples
from tests.databases.judge import judge
from tests.opdb.cases import Word

_RIGHT = (Word.LOWERED.value, Word.MIXED.value)
# torch's own exception, and why torch.export refuses it.
UNSUPPORTED = {"dynamic_shape_round": "Constraints violated"}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("engine", ["xla", pytest.param("iree", marks=pytest.mark.conformance), "aten"])
@pytest.mark.parametrize("name", examples.names())
def test_equals_eager(name: str, engine: str) -> None:
    (case,) = examples.cases(name)
    row = judge(case, engine)
    assert row.word in _RIGHT, row.reason


def test_unsupported_examples_are_refused_by_torch() -> None:
    assert examples.names(supported=False) == sorted(UNSUPPORTED)
    for name, reason in UNSUPPORTED.items():
        (case,) = examples.cases(name)
        row = judge(case, "aten")
        assert row.word == Word.NOT_EXPORTABLE.value
        assert reason in row.reason
