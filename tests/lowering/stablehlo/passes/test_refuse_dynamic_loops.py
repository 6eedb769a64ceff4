"""Loops over tensors whose sizes a call says have no binary for all sizes on IREE."""

from __future__ import annotations

import pytest
import torch

import bridge
from lowering.ir.errors import EngineError
from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.through import dynamic_through

LOOPS = stablehlo_pass("refuse-dynamic-loops")


def loop(type_: str) -> str:
    return f"""
func.func public @main(%x: tensor<{type_}xf32>, %n: tensor<i1>) -> tensor<{type_}xf32> {{
  %0:2 = stablehlo.while(%a = %x, %b = %n) : tensor<{type_}xf32>, tensor<i1>
    cond {{
      stablehlo.return %b : tensor<i1>
    }} do {{
      %1 = stablehlo.not %b : tensor<i1>
      stablehlo.return %a, %1 : tensor<{type_}xf32>, tensor<i1>
    }}
  return %0#0 : tensor<{type_}xf32>
}}
"""


def test_a_loop_over_such_tensors_is_refused() -> None:
    with pytest.raises(EngineError, match=r"stablehlo.while has no code for all sizes: it carries tensors"):
        dynamic_through(loop("?"), [("n",), ()], LOOPS)


def test_a_loop_over_others_stays() -> None:
    assert "stablehlo.while" in dynamic_through(loop("4"), [(4,), ()], LOOPS)


class Gamma(torch.nn.Module):
    def forward(self, a: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return torch.special.gammainc(a, x)


def test_a_series_is_eager_s_at_every_size() -> None:
    """It was summed too early to an end."""
    n = torch.export.Dim("n", max=99)
    given = (torch.linspace(0.1, 9, 5), torch.linspace(0.1, 8, 5))
    compiled = bridge.lower(torch.export.export(Gamma(), given, dynamic_shapes=({0: n}, {0: n}))).compile()
    assert isinstance(compiled, bridge.Compiled)
    given = (torch.linspace(0.1, 9, 24), torch.linspace(0.1, 8, 24))
    torch.testing.assert_close(compiled(*given), torch.special.gammainc(*given))
    assert "stablehlo.while has no code for all sizes" in compiled.report.no_dynamic[0]
