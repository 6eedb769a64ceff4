"""Models whose batches, heights, widths and lengths a call says: one module, one binary, eager's results."""

from __future__ import annotations

import pytest

from tests.all_sizes import COUNT, attempt, dynamic_models


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name == "wavenet, every axis" else pytest.mark.conformance)
        for name in dynamic_models()
    ],
)
def test_a_model_equals_eager_at_eight_sizes(name: str) -> None:
    row = attempt(name)
    assert row.passed, row
    assert row.sizes == COUNT
