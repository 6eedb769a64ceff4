"""Rules that depend on how a tensor lies in its storage."""

from __future__ import annotations

import torch

from lowering.emit import emit_module
from tests.ops.driver import Sample, build_program, reason_not_lowered

storage = torch.arange(20.0)


def test_as_strided_of_a_transposed_tensor_is_refused() -> None:
    sample = Sample("aten.as_strided.default", (storage.view(4, 5).mT, [2, 2], [5, 1]))
    assert reason_not_lowered(sample) == "as_strided of a tensor that is not contiguous"


def test_as_strided_outside_of_a_slice_is_refused() -> None:
    """The offset counts from the start of the storage, which the slice does not show."""
    sample = Sample("aten.as_strided.default", (storage[4:12], [2, 2], [2, 1], 0))
    assert "outside of its input" in (reason_not_lowered(sample) or "")


def test_as_strided_within_a_slice_counts_from_the_storage() -> None:
    sample = Sample("aten.as_strided.default", (storage[4:12], [2, 2], [4, 1], 5))
    assert reason_not_lowered(sample) is None
    program, _, _ = build_program(sample)
    assert emit_module(program, program.graph.nodes, ["x0"], ["y0"], {}, "slice").outputs[0].sizes == (2, 2)
