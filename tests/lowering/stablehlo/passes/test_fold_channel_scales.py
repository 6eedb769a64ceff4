"""A scale of channels goes into the kernel that makes them, if both are of weights alone."""

from __future__ import annotations

import numpy as np
from expecttest import assert_expected_inline

from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.through import dynamic_through, evaluated, text_through

CLEAN_UP = stablehlo_pass("erase-dead-operations")
GIVEN = """
func.func public @main(
    %x: tensor<1x3x5x5xf32>, %k: tensor<2x3x3x3xf32> {bridge.weight}, %s: tensor<2xf32> {MARK}
) -> tensor<1x2x3x3xf32> {
  %0 = "stablehlo.convolution"(%x, %k) {
    batch_group_count = 1 : i64, feature_group_count = 1 : i64,
    dimension_numbers = #stablehlo.conv<[b, f, 0, 1]x[o, i, 0, 1]->[b, f, 0, 1]>
  } : (tensor<1x3x5x5xf32>, tensor<2x3x3x3xf32>) -> tensor<1x2x3x3xf32>
  %1 = stablehlo.broadcast_in_dim %s, dims = [1] : (tensor<2xf32>) -> tensor<1x2x3x3xf32>
  %2 = stablehlo.multiply %0, %1 : tensor<1x2x3x3xf32>
  return %2 : tensor<1x2x3x3xf32>
}
"""


def test_a_scale_of_weights_is_folded() -> None:
    assert_expected_inline(
        text_through(GIVEN.replace("MARK", "bridge.weight"), stablehlo_pass("fold-channel-scales"), CLEAN_UP),
        """\
module {
  func.func public @main(%arg0: tensor<1x3x5x5xf32>, %arg1: tensor<2x3x3x3xf32> {bridge.weight},
      %arg2: tensor<2xf32> {bridge.weight}) -> tensor<1x2x3x3xf32> {
    %0 = stablehlo.broadcast_in_dim %arg2, dims = [0] : (tensor<2xf32>) -> tensor<2x3x3x3xf32>
    %1 = stablehlo.multiply %arg1, %0 : tensor<2x3x3x3xf32>
    %2 = stablehlo.convolution(%arg0, %1) dim_numbers = [b, f, 0, 1]x[o, i, 0, 1]->[b, f, 0, 1],
        window = {} {batch_group_count = 1 : i64, feature_group_count = 1 : i64} :
        (tensor<1x3x5x5xf32>, tensor<2x3x3x3xf32>) -> tensor<1x2x3x3xf32>
    return %2 : tensor<1x2x3x3xf32>
  }
}
""",
    )


def test_a_scale_that_comes_with_the_call_is_not() -> None:
    text = GIVEN.replace("MARK", "")
    assert text_through(text, stablehlo_pass("fold-channel-scales"), CLEAN_UP) == text_through(text)


ADDED = """\
  %3 = stablehlo.broadcast_in_dim %b, dims = [1] : (tensor<2xf32>) -> tensor<1x2x3x3xf32>
  %4 = stablehlo.add %0, %3 : tensor<1x2x3x3xf32>
  %2 = stablehlo.multiply %4, %1"""
SHIFTED = GIVEN.replace("{MARK}", "{MARK}, %b: tensor<2xf32> {MARK}").replace(
    "  %2 = stablehlo.multiply %0, %1", ADDED
)


def test_what_is_added_before_the_scale_is_scaled() -> None:
    text = SHIFTED.replace("MARK", "bridge.weight")
    fold = stablehlo_pass("fold-channel-scales")
    made = text_through(text, fold, CLEAN_UP)
    assert made.index("stablehlo.multiply") < made.index("stablehlo.convolution"), "the kernel is scaled"
    draw = np.random.default_rng(0).normal
    given = [draw(size=sizes).astype(np.float32) for sizes in ((1, 3, 5, 5), (2, 3, 3, 3), 2, 2)]
    (found,), (wanted,) = evaluated(text, given, fold), evaluated(text, given)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


AT_ALL_SIZES = """
func.func public @main(%x: tensor<?x3x5x5xf32>) -> tensor<?x2x3x3xf32> {
  %k = stablehlo.constant dense<2.0> : tensor<2x3x3x3xf32>
  %s = stablehlo.constant dense<[3.0, 4.0]> : tensor<2xf32>
  %rest = stablehlo.constant dense<[2, 3, 3]> : tensor<3xi64>
  %d = stablehlo.get_dimension_size %x, dim = 0 : (tensor<?x3x5x5xf32>) -> tensor<i32>
  %e = stablehlo.convert %d : (tensor<i32>) -> tensor<i64>
  %f = stablehlo.reshape %e : (tensor<i64>) -> tensor<1xi64>
  %n = stablehlo.concatenate %f, %rest, dim = 0 : (tensor<1xi64>, tensor<3xi64>) -> tensor<4xi64>
  %0 = "stablehlo.convolution"(%x, %k) {
    batch_group_count = 1 : i64, feature_group_count = 1 : i64,
    dimension_numbers = #stablehlo.conv<[b, f, 0, 1]x[o, i, 0, 1]->[b, f, 0, 1]>
  } : (tensor<?x3x5x5xf32>, tensor<2x3x3x3xf32>) -> tensor<?x2x3x3xf32>
  %1 = stablehlo.dynamic_broadcast_in_dim %s, %n, dims = [1]
    : (tensor<2xf32>, tensor<4xi64>) -> tensor<?x2x3x3xf32>
  %2 = stablehlo.multiply %0, %1 : tensor<?x2x3x3xf32>
  return %2 : tensor<?x2x3x3xf32>
}
"""


def test_a_scale_is_folded_where_a_call_says_the_batch() -> None:
    made = dynamic_through(AT_ALL_SIZES, [("n", 3, 5, 5)], stablehlo_pass("fold-channel-scales"))
    (product,) = (line for line in made.splitlines() if "stablehlo.multiply" in line)
    assert product.endswith(": tensor<2x3x3x3xf32>")
    assert "dynamic_broadcast_in_dim" not in made
