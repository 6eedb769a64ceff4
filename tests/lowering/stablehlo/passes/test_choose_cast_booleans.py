"""A product with a cast boolean is one: beside infinities, NaN and negative numbers, too."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from expecttest import assert_expected_inline
from torch import Tensor, nn

import bridge
from lowering.stablehlo.passes import stablehlo_pass
from tests.bridge.calls import Call
from tests.lowering.stablehlo.passes.through import text_through

INF, NAN = float("inf"), float("nan")
X = torch.tensor([INF, -INF, NAN, 1.0, -2.0, INF])
MASK = torch.tensor([True, False, False, False, False, True])

CASES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "promoted": lambda x, mask: x * mask,
    "cast": lambda x, mask: mask.float() * x,
    "cast to float64": lambda x, mask: mask.double() * x,
    "cast to halves": lambda x, mask: mask.half() * x.half(),
    "cast twice": lambda x, mask: x * mask.int(),
    "of a comparison": lambda x, mask: (x > 0) * x,
    "stretched": lambda x, mask: mask.float()[:, None] * x,
    "complex": lambda x, mask: mask.to(torch.complex64) * x,
    "summed": lambda x, mask: (mask.float() * x).sum(),
    "contracted": lambda x, mask: mask.float() @ x,
    "added": lambda x, mask: torch.addcmul(x, mask.float(), x),
    "multiplied along": lambda x, mask: torch.stack([mask.float(), x]).cumprod(0),
    "the sign of a zero": lambda x, mask: torch.signbit(mask * x.clamp(-3, 3)),
    "negated": lambda x, mask: torch.signbit(mask.float() * -1.0),
    "looped": lambda x, mask: torch.cond(mask[0], lambda x, m: x * m, lambda x, m: x - m, (x, mask.float())),
}


class Products(nn.Module):
    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        return tuple(case(x, mask) for case in CASES.values())


@pytest.mark.parametrize("engine", ["xla", "iree"])
def test_products_are_eager_s(engine: str) -> None:
    lowered = bridge.lower(Products(), (X, MASK))
    assert set(lowered.placement.values()) == {"stablehlo"}
    results = lowered.compile(engine)(X, MASK)
    for name, result, expected in zip(CASES, results, Products()(X, MASK), strict=True):
        assert torch.allclose(result, expected, rtol=0, atol=0, equal_nan=True), name


def test_they_are_so_at_sizes_that_come_later() -> None:
    axis = {0: torch.export.Dim("n", min=2)}
    lowered = bridge.lower(Call(lambda x, mask: x * mask), (X, MASK), dynamic_shapes=((axis, axis),))
    x, mask = X.repeat(3), MASK.repeat(3)
    for engine in ("xla", "iree"):
        assert torch.allclose(lowered.compile(engine)(x, mask), x * mask, equal_nan=True)


GIVEN = """
func.func public @main(%x: tensor<4xi1>, %y: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xi8>) {
  %0 = stablehlo.convert %x : (tensor<4xi1>) -> tensor<4xf32>
  %1 = stablehlo.convert %x : (tensor<4xi1>) -> tensor<4xi8>
  %2 = stablehlo.multiply %0, %y : tensor<4xf32>
  return %2, %1 : tensor<4xf32>, tensor<4xi8>
}
"""


def test_casts_become_choices() -> None:
    assert_expected_inline(
        text_through(GIVEN, stablehlo_pass("choose-cast-booleans")),
        """\
module {
  func.func public @main(%arg0: tensor<4xi1>, %arg1: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xi8>)
      {
    %cst = stablehlo.constant dense<1.000000e+00> : tensor<f32>
    %0 = stablehlo.broadcast_in_dim %cst, dims = [] : (tensor<f32>) -> tensor<4xf32>
    %cst_0 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %1 = stablehlo.broadcast_in_dim %cst_0, dims = [] : (tensor<f32>) -> tensor<4xf32>
    %2 = stablehlo.select %arg0, %0, %1 : tensor<4xi1>, tensor<4xf32>
    %c = stablehlo.constant dense<1> : tensor<i8>
    %3 = stablehlo.broadcast_in_dim %c, dims = [] : (tensor<i8>) -> tensor<4xi8>
    %c_1 = stablehlo.constant dense<0> : tensor<i8>
    %4 = stablehlo.broadcast_in_dim %c_1, dims = [] : (tensor<i8>) -> tensor<4xi8>
    %5 = stablehlo.select %arg0, %3, %4 : tensor<4xi1>, tensor<4xi8>
    %6 = stablehlo.multiply %2, %arg1 : tensor<4xf32>
    return %6, %5 : tensor<4xf32>, tensor<4xi8>
  }
}
""",
    )
