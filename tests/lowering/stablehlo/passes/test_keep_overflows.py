"""On XLA, what overflows, vanishes or is rounded between two operations is so, as in eager."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

import bridge
from lowering.stablehlo.passes import stablehlo_pass
from tests.bridge.calls import Call
from tests.lowering.stablehlo.passes.through import operations, through

INF, NAN = float("inf"), float("nan")
X = torch.tensor([0.0, -0.0, INF, -INF, NAN, 2.5, -2.5, 1e20, -1e20, 3e38, 80.0, 200.0, -80.0, 0.1])

CASES: dict[str, Callable[[Tensor], Tensor]] = {
    "exp times exp": lambda x: torch.exp(x) * torch.exp(-x),
    "log of exp": lambda x: torch.log(torch.exp(x)),
    "log of a power": lambda x: torch.log(torch.pow(x, x.roll(3))),
    "log of a root": lambda x: torch.log(torch.rsqrt(x)),
    "root of a square": lambda x: torch.sqrt(x * x),
    "power of a square": lambda x: (x**2) ** 0.5,
    "power of exp": lambda x: torch.pow(torch.exp(x), x.roll(3)),
    "two factors": lambda x: x * 1e30 * 1e-30,
    "two terms": lambda x: (x + 1e8) + (-1e8),
    "a term that goes again": lambda x: (x + 12582912.0) - 12582912.0,
    "taken from a constant": lambda x: (1e8 - x) - 1e8,
    "exp at least 0": lambda x: torch.exp(x) >= 0,
    "a square at least 0": lambda x: x * x >= 0,
    "a size at least 0": lambda x: x.abs() >= 0,
    "not below 0": lambda x: ~(x.abs() < 0),
}


class Chains(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(case(x) for case in CASES.values())


def test_chains_are_eager_s() -> None:
    lowered = bridge.lower(Chains(), (X,))
    assert set(lowered.placement.values()) == {"stablehlo"}
    for name, result, expected in zip(CASES, lowered.compile("xla")(X), Chains()(X), strict=True):
        near = torch.isclose(result, expected, rtol=2e-6, atol=0, equal_nan=True)
        assert bool(near.all()), name


def test_only_what_would_merge_is_guarded() -> None:
    made = through(bridge.lower(Call(lambda x: torch.log(x + 1) * 2 + x.exp()), (X,)).module(0), KEPT)
    assert not operations(made)["optimization_barrier"]


KEPT = stablehlo_pass("keep-overflows")
