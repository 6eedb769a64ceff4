"""Every example of `torch._export.db`: several calls in a row equal eager, results, arguments and buffers."""

from __future__ import annotations

import pytest
import torch

from tests.databases import examples
from tests.databases.judge import judge
from tests.opdb.cases import Word

_RIGHT = (Word.LOWERED.value, Word.MIXED.value)
# What export does not support by its own word, which is no longer so: torch.export takes it.
UNSUPPORTED = {"dynamic_shape_round"}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("engine", ["xla", "aten"])
@pytest.mark.parametrize("name", examples.names())
def test_equals_eager(name: str, engine: str) -> None:
    (case,) = examples.cases(name)
    row = judge(case, engine)
    assert row.word in _RIGHT, row.reason


# What depends on the data is judged on xla; these take IREE's compiler a quarter of a minute.
@pytest.mark.parametrize(
    "name", ["cond_operands", "dynamic_shape_map", "fn_with_kwargs", "user_input_mutation"]
)
def test_equals_eager_on_iree(name: str) -> None:
    (case,) = examples.cases(name)
    row = judge(case, "iree")
    assert row.word == Word.LOWERED.value, row.reason


def test_unsupported_examples_are_known() -> None:
    assert set(examples.names(supported=False)) == UNSUPPORTED
