"""On XLA a division is one: quotients, and the integers that they round to, are eager's to the last bit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from expecttest import assert_expected_inline
from torch import nn

import bridge
from lowering.stablehlo.passes import stablehlo_pass
from tests.bridge.calls import Call
from tests.lowering.stablehlo.passes.through import operations, text_through, through

ROWS, COLUMN = torch.randn(64, 96, generator=torch.Generator().manual_seed(0)), torch.rand(64, 1) + 0.01
OTHER = torch.rand(64, 96, generator=torch.Generator().manual_seed(1)) + 0.01


def symmetric(x: torch.Tensor) -> torch.Tensor:
    return (x.abs().amax(1, keepdim=True) / 127.5).clamp(min=1e-5)


CASES = {
    "constant": lambda x, s, y: x / 127,
    "scalar": lambda x, s, y: x / s[0, 0],
    "row": lambda x, s, y: x / s,
    "whole": lambda x, s, y: x / y,
    "of a quotient": lambda x, s, y: (x / y) / s,
    "by a quotient": lambda x, s, y: x / (y / s),
    "of largest": lambda x, s, y: symmetric(x),
    "steps, by the reciprocal": lambda x, s, y: torch.round(x * (1.0 / symmetric(x))),
    "steps, divided": lambda x, s, y: torch.round(x / symmetric(x)),
    "steps of halves": lambda x, s, y: torch.round(x.bfloat16() / symmetric(x.bfloat16())),
    "double": lambda x, s, y: x.double() / s.double(),
    "looped": lambda x, s, y: torch.cond(x[0, 0] > 5, lambda x, s: x / s, lambda x, s: x / (s * 3), (x, s)),
}


class Quotients(nn.Module):
    def forward(self, x: torch.Tensor, s: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(case(x, s, y) for case in CASES.values())


@pytest.fixture(scope="module")
def lowered() -> bridge.Lowered:
    return bridge.lower(Quotients(), (ROWS, COLUMN, OTHER))


def test_quotients_are_eager_s(lowered: bridge.Lowered) -> None:
    assert set(lowered.placement.values()) == {"stablehlo"}
    results = lowered.compile("xla")(ROWS, COLUMN, OTHER)
    for name, result, expected in zip(CASES, results, Quotients()(ROWS, COLUMN, OTHER), strict=True):
        assert torch.equal(result, expected), name


@pytest.mark.parametrize(
    ("function", "guarded"),
    [(lambda x: x / 3, True), (lambda x: x / 4, False), (lambda x: x.long() // 3, False)],
    ids=["a constant", "a power of two", "integers"],
)
def test_only_divisions_that_could_be_products_are_guarded(
    function: Callable[[torch.Tensor], torch.Tensor], guarded: bool
) -> None:
    made = through(bridge.lower(Call(function), (ROWS,)).module(0), stablehlo_pass("keep-divisions"))
    assert bool(operations(made)["optimization_barrier"]) is guarded


GIVEN = """
func.func public @main(%x: tensor<4xf32>, %y: tensor<4xf32>) -> tensor<4xf32> {
  %0 = stablehlo.divide %x, %y : tensor<4xf32>
  %1 = stablehlo.divide %0, %y : tensor<4xf32>
  return %1 : tensor<4xf32>
}
"""


def test_quotients_of_quotients_stand_behind_barriers() -> None:
    assert_expected_inline(
        text_through(GIVEN, stablehlo_pass("keep-divisions")),
        """\
module {
  func.func public @main(%arg0: tensor<4xf32>, %arg1: tensor<4xf32>) -> tensor<4xf32> {
    %0 = stablehlo.optimization_barrier %arg1 : tensor<4xf32>
    %1 = stablehlo.divide %arg0, %0 : tensor<4xf32>
    %2 = stablehlo.optimization_barrier %1 : tensor<4xf32>
    %3 = stablehlo.optimization_barrier %arg1 : tensor<4xf32>
    %4 = stablehlo.divide %2, %3 : tensor<4xf32>
    return %4 : tensor<4xf32>
  }
}
""",
    )
