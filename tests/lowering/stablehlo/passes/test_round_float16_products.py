"""Products of float16 are rounded on their own, whatever the processor computes in."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from expecttest import assert_expected_inline

import bridge
from lowering.stablehlo.hlo import text_of
from lowering.stablehlo.passes import stablehlo_pass
from lowering.targets import get_engine
from lowering.targets.target import TargetOptions
from tests.bridge.calls import Call
from tests.lowering.stablehlo.passes.through import text_through, through

ROUNDED = stablehlo_pass("round-float16-products")

Function = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

PROGRAMS: dict[str, Function] = {
    "a sum after it": lambda x, y: x * y + x,
    "a difference": lambda x, y: (x + y) * y - x,
    "a chain": lambda x, y: (x * y) * y,
    "a square": lambda x, y: y - x * x,
    "in a branch": lambda x, y: torch.cond(
        x.sum() == x.sum(), lambda a, b: a * b - b, lambda a, b: a + b, (x, y)
    ),
}


@pytest.mark.parametrize("scale", [1.0, 2.0**-9, 200.0], ids=["usual", "subnormal", "infinite"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_products_are_rounded_as_eager_rounds_them(name: str, scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(256, generator=generator).mul(scale).half() for _ in range(2))
    function = PROGRAMS[name]
    lowered = bridge.lower(Call(function), (x, y))
    module = through(lowered.module(0), ROUNDED)
    products = len(re.findall(r"stablehlo\.multiply", text_of(module.code)))
    assert len(re.findall(r"stablehlo\.reduce_precision", text_of(module.code))) == products > 0
    engine, target = get_engine("xla"), TargetOptions()
    run = engine.load(engine.compile(module, target), module, target, {})
    (result, *_) = run([engine.from_tensor(item, target) for item in (x, y)])
    torch.testing.assert_close(engine.to_torch(result), function(x, y), rtol=0, atol=0, equal_nan=True)


def test_other_types_are_left_alone() -> None:
    x = torch.randn(8)
    lowered = bridge.lower(Call(PROGRAMS["a sum after it"]), (x, x))
    assert "reduce_precision" not in text_of(through(lowered.module(0), ROUNDED).code)


GIVEN = """
func.func public @main(%x: tensor<4xf16>, %y: tensor<4xf16>) -> tensor<4xf16> {
  %0 = stablehlo.multiply %x, %y : tensor<4xf16>
  %1 = stablehlo.add %0, %y : tensor<4xf16>
  return %1 : tensor<4xf16>
}
"""


def test_a_product_is_cut_before_the_sum() -> None:
    assert_expected_inline(
        text_through(GIVEN, stablehlo_pass("round-float16-products")),
        """\
module {
  func.func public @main(%arg0: tensor<4xf16>, %arg1: tensor<4xf16>) -> tensor<4xf16> {
    %0 = stablehlo.convert %arg0 : (tensor<4xf16>) -> tensor<4xf32>
    %1 = stablehlo.convert %arg1 : (tensor<4xf16>) -> tensor<4xf32>
    %2 = stablehlo.multiply %0, %1 : tensor<4xf32>
    %3 = stablehlo.abs %2 : tensor<4xf32>
    %cst = stablehlo.constant dense<6.10351563E-5> : tensor<f32>
    %4 = stablehlo.broadcast_in_dim %cst, dims = [] : (tensor<f32>) -> tensor<4xf32>
    %5 = stablehlo.compare GE, %3, %4 : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xi1>
    %6 = stablehlo.reduce_precision %2, format = e5m10 : tensor<4xf32>
    %7 = stablehlo.select %5, %6, %2 : tensor<4xi1>, tensor<4xf32>
    %8 = stablehlo.convert %7 : (tensor<4xf32>) -> tensor<4xf16>
    %9 = stablehlo.add %8, %arg1 : tensor<4xf16>
    return %9 : tensor<4xf16>
  }
}
""",
    )
