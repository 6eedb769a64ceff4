"""Every architecture of the zoo at its small size, all the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models.pipeline import take_through
from tests.models.zoo import ZOO


@pytest.mark.parametrize("name", ZOO)
def test_is_one_segment_that_equals_eager_on_both_engines_and_as_an_artifact(
    name: str, tmp_path: Path
) -> None:
    row = take_through(name, True, tmp_path)
    assert row.passed, row
