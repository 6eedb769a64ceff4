"""Operators on binaries for all sizes: of those that have one, the results are eager's at every size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lowering.targets import get_engine
from tests.dynamic_binaries import attempt
from tests.ops.driver import Sample
from tests.ops.test_ops import FIRST_OF_EACH

# Each stands for a form of its own, which IREE refused once.
_FORMS = (
    "aten.dot.default", "aten.max_pool2d.default", "aten.avg_pool2d.default", "aten.slice_scatter.default",
    "aten.block_diag.default", "aten.index_add.default", "aten.scatter.src", "aten.narrow.Tensor",
    "aten.index_put.default",
)  # fmt: skip


def _samples() -> Iterator[Any]:
    for sample in FIRST_OF_EACH:
        marks = () if sample.target in _FORMS else pytest.mark.conformance
        yield pytest.param(sample, id=str(sample), marks=marks)


@pytest.mark.parametrize("sample", _samples())
def test_it_is_eagers(sample: Sample) -> None:
    outcome = attempt(sample, get_engine("iree"))
    assert outcome.kind not in ("differs", "failed"), outcome.detail
    assert sample.target not in _FORMS or (outcome.kind == "equal" and outcome.tried), outcome.detail


def test_every_form_has_a_sample() -> None:
    assert {sample.target for sample in FIRST_OF_EACH} >= {*_FORMS}
