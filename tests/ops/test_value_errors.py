"""Values for which eager raises raise in compiled programs too, on each engine, and never give a result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch.nn import functional as F

import bridge

NAN = float("nan")
EYE, ONES = torch.eye(2), torch.ones(2, 1)
SCORES = torch.tensor([[0.1, 0.2, 0.7], [0.3, 0.3, 0.4]])
TABLE = torch.arange(8.0).reshape(4, 2)
BAG = torch.tensor([1, 2, 3])


class Case(NamedTuple):
    """A call, arguments for which it has a value, and arguments for which eager raises."""

    call: Callable[..., torch.Tensor]
    good: tuple[torch.Tensor, ...]
    bad: tuple[torch.Tensor, ...]


def whole(*numbers: int) -> torch.Tensor:
    return torch.tensor(numbers)


def pivots(*numbers: int) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.int32)


def _divided(how: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Case:
    return Case(how, (whole(7, -7), whole(2, 3)), (whole(7, -7), whole(2, 0)))


CASES = {
    "floor_divide": _divided(lambda x, y: x // y),
    "div floor": _divided(lambda x, y: torch.div(x, y, rounding_mode="floor")),
    "div trunc": _divided(lambda x, y: torch.div(x, y, rounding_mode="trunc")),
    "remainder": _divided(torch.remainder),
    "fmod": _divided(torch.fmod),
    "remainder of a scalar": Case(lambda x: 7 % x, (whole(3),), (whole(0),)),
    "one_hot above": Case(lambda x: F.one_hot(x, 5), (whole(1, 4),), (whole(1, 5),)),
    "one_hot below": Case(lambda x: F.one_hot(x, 5), (whole(1, 4),), (whole(1, -1),)),
    "nll_loss": Case(F.nll_loss, (SCORES, whole(1, -100)), (SCORES, whole(1, 3))),
    "cross_entropy": Case(F.cross_entropy, (SCORES, whole(1, 2)), (SCORES, whole(1, -3))),
    "binary_cross_entropy": Case(F.binary_cross_entropy, (SCORES, SCORES**2), (SCORES + 1, SCORES)),
    "binary_cross_entropy, target": Case(F.binary_cross_entropy, (SCORES, SCORES**2), (SCORES, SCORES * NAN)),
    "repeat_interleave": Case(
        lambda x, r: torch.repeat_interleave(x, r, output_size=3),
        (torch.ones(2), whole(1, 2)),
        (torch.ones(2), whole(1, 1)),
    ),
    "histc": Case(lambda x: torch.histc(x, 4), (torch.ones(3),), (torch.tensor([1.0, NAN, 0.0]),)),
    "svd": Case(torch.linalg.svdvals, (EYE,), (EYE * NAN,)),
    "pinv": Case(torch.linalg.pinv, (EYE,), (EYE * NAN,)),
    "cholesky_inverse": Case(torch.cholesky_inverse, (EYE,), (torch.zeros(2, 2),)),
    "lu_unpack": Case(
        lambda a, p: torch.lu_unpack(a, p)[0], (EYE, pivots(1, 2)), (EYE, pivots(1, 3))
    ),
    "lu_solve": Case(torch.linalg.lu_solve, (EYE, pivots(1, 2), ONES), (EYE, pivots(0, 2), ONES)),
    "bag that starts late": Case(F.embedding_bag, (BAG, TABLE, whole(0, 1)), (BAG, TABLE, whole(1, 2))),
    "bag past the end": Case(F.embedding_bag, (BAG, TABLE, whole(0, 1)), (BAG, TABLE, whole(0, 9))),
}  # fmt: skip


class Calling(torch.nn.Module):
    def __init__(self, call: Callable[..., Any]) -> None:
        super().__init__()
        self.call = call

    def forward(self, *args: torch.Tensor) -> Any:
        return self.call(*args)


@pytest.mark.parametrize("name", CASES)
def test_what_eager_refuses_is_refused(name: str) -> None:
    call, good, bad = CASES[name]
    with pytest.raises((RuntimeError, IndexError)):
        call(*bad)
    lowered = bridge.lower(Calling(call), good)
    assert set(lowered.placement.values()) == {"stablehlo"}
    for engine in ("xla", "iree"):
        compiled = lowered.compile(engine)
        torch.testing.assert_close(compiled(*good), call(*good))
        with pytest.raises(bridge.BridgeError, match=r"node \w+, aten\."):
            compiled(*bad)


def test_a_divisor_that_cannot_be_zero_costs_nothing() -> None:
    lowered = bridge.lower(Calling(lambda x: (x // 3, x % 5, x // (x * 0 + 2))[0]), (whole(7, -7),))
    assert not lowered.module(0).checks
