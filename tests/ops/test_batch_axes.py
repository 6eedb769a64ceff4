"""Operators whose rows are proved to stay apart give the same at a larger size, cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lowering.targets import get_engine
from tests.batch_axes import verdicts
from tests.ops.driver import Sample
from tests.ops.test_ops import FIRST_OF_EACH

# Of these `make test` compares the samples; they look rows up, write to them, and reduce them.
_COMPARED = ("aten.gather.default", "aten.amax.default", "aten.linear.default")


def _some() -> Iterator[Any]:
    for sample in FIRST_OF_EACH:
        marks = () if sample.target in _COMPARED else pytest.mark.conformance
        yield pytest.param(sample, id=str(sample), marks=marks)


@pytest.mark.parametrize("sample", _some())
def test_proved_rows_are_the_same_at_a_larger_size(sample: Sample) -> None:
    found = list(verdicts(sample, get_engine("xla")))
    assert [verdict for verdict in found if verdict.kind == "differs"] == []
    if sample.target in _COMPARED:
        assert any(verdict.compared for verdict in found)
