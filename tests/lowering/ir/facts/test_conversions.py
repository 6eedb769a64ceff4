"""Arguments that must be numbers of an element type, as eager has them."""

from __future__ import annotations

import pytest
import torch

from lowering.ir.facts.conversions import converts

SMALL = torch.tensor([1, 2], dtype=torch.int8)


@pytest.mark.parametrize(
    ("target", "argument", "call"),
    [
        ("aten.clamp.default", "max", lambda: SMALL.clamp(max=300)),
        ("aten.fill_.Scalar", "value", lambda: SMALL.clone().fill_(300)),
        ("aten.full_like.default", "fill_value", lambda: torch.full_like(SMALL, 300)),
        ("aten.masked_fill.Scalar", "value", lambda: SMALL.masked_fill(SMALL > 1, 300)),
        ("aten.add.Tensor", "alpha", lambda: torch.add(SMALL, SMALL, alpha=300)),
        ("aten.where.ScalarOther", "other", lambda: torch.where(SMALL > 1, SMALL, 300)),
        ("aten.add.Tensor", "other", lambda: SMALL + 300),
        ("aten.mul.Tensor", "other", lambda: SMALL * 300),
        ("aten.gt.Scalar", "other", lambda: SMALL > 300),
        ("aten.remainder.Scalar", "other", lambda: SMALL.remainder(300)),
    ],
)
def test_eager_refuses_a_number_that_does_not_fit(target: str, argument: str, call: object) -> None:
    assert callable(call)
    if converts(target, argument):
        with pytest.raises(RuntimeError, match="without overflow"):
            call()
    else:
        call()


def test_both_kinds_are_there() -> None:
    assert converts("aten.clamp.default", "max")
    assert not converts("aten.add.Tensor", "other")
    assert not converts("my.clamp.default", "max")
