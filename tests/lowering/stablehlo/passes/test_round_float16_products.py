"""Products of float16 are rounded on their own, whatever the processor computes in."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch

import bridge
from lowering.stablehlo.hlo import text_of
from lowering.stablehlo.passes import stablehlo_pass
from lowering.targets import get_engine
from lowering.targets.target import Target
from tests.bridge.calls import Call
from tests.lowering.stablehlo.passes.through import through

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
    engine, target = get_engine("xla"), Target()
    run = engine.load(engine.compile(module, target), module, target, {})
    (result, *_) = run([engine.from_tensor(item, target) for item in (x, y)])
    torch.testing.assert_close(engine.to_torch(result), function(x, y), rtol=0, atol=0, equal_nan=True)


def test_other_types_are_left_alone() -> None:
    x = torch.randn(8)
    lowered = bridge.lower(Call(PROGRAMS["a sum after it"]), (x, x))
    assert "reduce_precision" not in text_of(through(lowered.module(0), ROUNDED).code)
