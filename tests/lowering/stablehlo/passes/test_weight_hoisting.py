"""What depends on weights alone is computed once, when a segment is loaded."""

from __future__ import annotations

import torch
from expecttest import assert_expected_inline
from torch import nn

import bridge
from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.models import lowered
from tests.lowering.stablehlo.passes.through import operations, text_through, through

HOISTED = stablehlo_pass("weight-hoisting")
FOLDED = (stablehlo_pass("fold-channel-scales"), stablehlo_pass("convolutions-channels-last"), HOISTED)


def test_what_rests_on_weights_is_done_at_load() -> None:
    module = lowered("vision")[0].module(0)
    made = through(module, *FOLDED)
    assert made.load is not None
    assert all(port.weight is not None for port in (*made.load.inputs, *made.inputs[1:]))
    # The square root and the division are those of the batch norm.
    assert operations(module)["sqrt"] == 1
    assert not operations(made)["sqrt"]
    assert operations(made.load)["sqrt"] == 1


def test_a_module_without_weights_has_nothing_to_do_at_load() -> None:
    module = bridge.lower(nn.GELU(), (torch.randn(3, 4),)).module(0)
    assert through(module, HOISTED).load is None


def test_a_reshaped_weight_is_not_kept_twice() -> None:
    made = through(lowered("products")[0].module(0), HOISTED)
    assert made.load is not None
    assert "inner.weight" in {port.weight for port in made.inputs}
    assert "inner.weight" not in {port.weight for port in made.load.inputs}


def test_a_weight_that_many_steps_read_is_laid_out_once() -> None:
    module = bridge.lower(nn.LSTM(3, 5).eval(), (torch.randn(4, 1, 3),)).module(0)
    made = through(module, stablehlo_pass("matmul-weights-in-out"), HOISTED)
    assert made.load is not None
    assert [port.sizes for port in made.load.outputs].count((5, 20)) == 1


GIVEN = """
func.func public @main(%x: tensor<4xf32>, %w: tensor<4xf32> {bridge.weight}) -> tensor<4xf32> {
  %0 = stablehlo.sqrt %w : tensor<4xf32>
  %1 = stablehlo.add %x, %0 : tensor<4xf32>
  return %1 : tensor<4xf32>
}
"""


def test_two_modules_from_one() -> None:
    assert_expected_inline(
        text_through(GIVEN, stablehlo_pass("weight-hoisting")),
        """\
module @main {
  func.func @main(%arg0: tensor<4xf32>, %arg1: tensor<4xf32>) -> tensor<4xf32> {
    %0 = stablehlo.add %arg0, %arg1 : tensor<4xf32>
    return %0 : tensor<4xf32>
  }
}

// at load
module @load {
  func.func @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {
    %0 = stablehlo.sqrt %arg0 : tensor<4xf32>
    return %0 : tensor<4xf32>
  }
}
""",
    )


CAPTURES = """
func.func public @main(%p: tensor<i1> {bridge.weight}, %x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = "stablehlo.if"(%p) ({
    %1 = stablehlo.sqrt %x : tensor<4xf32>
    stablehlo.return %1 : tensor<4xf32>
  }, {
    stablehlo.return %x : tensor<4xf32>
  }) : (tensor<i1>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
"""


def test_a_branch_that_reads_what_comes_with_a_call_is_not_done_at_load() -> None:
    made = text_through(CAPTURES, stablehlo_pass("weight-hoisting"))
    assert "stablehlo.if" in made
    assert "// at load" not in made
