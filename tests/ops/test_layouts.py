"""Rules that depend on how a tensor lies in its storage."""

from __future__ import annotations

import torch

from lowering.targets import get_engine
from tests.ops.driver import Sample, check, reason_not_lowered

storage = torch.arange(20.0)


def test_as_strided_of_a_transposed_tensor_is_refused() -> None:
    sample = Sample("aten.as_strided.default", (storage.view(4, 5).mT, [2, 2], [5, 1]))
    assert reason_not_lowered(sample) == "as_strided of a tensor that is not contiguous"


def test_as_strided_outside_of_a_slice_is_refused() -> None:
    """The offset counts from the start of the storage, which the slice does not show."""
    sample = Sample("aten.as_strided.default", (storage[4:12], [2, 2], [2, 1], 0))
    assert "outside of its input" in (reason_not_lowered(sample) or "")


def test_as_strided_within_a_slice_starts_where_the_slice_does() -> None:
    check(Sample("aten.as_strided.default", (storage[4:12], [2, 2], [4, 1])), get_engine("xla"))
