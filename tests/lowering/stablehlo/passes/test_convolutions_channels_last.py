"""Regions of channels-last data have few transpositions, and convolutions in them become what was chosen."""

from __future__ import annotations

import pytest
import torch
from expecttest import assert_expected_inline
from torch import nn

import bridge
from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.models import CASES, lowered
from tests.lowering.stablehlo.passes.through import (
    dynamic_through,
    operations,
    same_results,
    text_through,
    through,
)

CHANNELS_LAST = "convolutions-channels-last"
FOLD = stablehlo_pass("fold-channel-scales")


@pytest.mark.parametrize("name", CASES)
def test_results_are_the_same(name: str) -> None:
    build, example = CASES[name]
    torch.manual_seed(0)
    same_results(build().eval(), (example(),), FOLD, stablehlo_pass(CHANNELS_LAST))


def test_a_region_has_one_transposition_in_and_one_for_each_way_out() -> None:
    module = lowered("vision")[0].module(0)
    kernels = sum(port.weight is not None and len(port.sizes) == 4 for port in module.inputs)
    done = operations(through(module, FOLD, stablehlo_pass(CHANNELS_LAST), stablehlo_pass("weight-hoisting")))
    # In: x. Out: `wide`, the pointwise convolution, the softmax; `permute` undoes its own.
    assert kernels == 5
    assert done["transpose"] == 4


def test_kernels_of_one_tap_are_products_and_depthwise_ones_sums() -> None:
    module = lowered("vision")[0].module(0)
    assert operations(module)["convolution"] == 5
    for sums, left in ((False, 4), (True, 3)):
        chosen = stablehlo_pass(CHANNELS_LAST, depthwise_as_shifted_sums=sums)
        assert operations(through(module, FOLD, chosen))["convolution"] == left


@pytest.mark.parametrize(
    ("groups", "sizes", "barriers"),
    [(8, (2, 8, 16, 16), 1), (8, (1, 8, 16, 16), 0), (8, (2, 8, 16, 14), 0), (1, (2, 8, 16, 16), 0)],
    ids=["depthwise", "one image", "rows of 14", "dense"],
)
def test_a_product_stays_apart_from_a_depthwise_convolution(
    groups: int, sizes: tuple[int, ...], barriers: int
) -> None:
    torch.manual_seed(0)
    layers = nn.Conv2d(8, 8, 3, padding=1, groups=groups), nn.Hardswish(), nn.Conv2d(8, 4, 1)
    model, x = nn.Sequential(*layers).eval(), torch.randn(sizes)
    lowered = bridge.lower(model, (x,))
    made = through(lowered.module(0), stablehlo_pass(CHANNELS_LAST, barrier_after_depthwise=True))
    assert operations(made)["optimization_barrier"] == barriers
    torch.testing.assert_close(lowered.compile("iree")(x), model(x))


GIVEN = """
func.func public @main(
    %x: tensor<1x3x5x5xf32>, %k: tensor<2x3x1x1xf32> {bridge.weight}
) -> tensor<1x2x5x5xf32> {
  %0 = "stablehlo.convolution"(%x, %k) {
    batch_group_count = 1 : i64, feature_group_count = 1 : i64,
    dimension_numbers = #stablehlo.conv<[b, f, 0, 1]x[o, i, 0, 1]->[b, f, 0, 1]>
  } : (tensor<1x3x5x5xf32>, tensor<2x3x1x1xf32>) -> tensor<1x2x5x5xf32>
  %1 = stablehlo.negate %0 : tensor<1x2x5x5xf32>
  return %1 : tensor<1x2x5x5xf32>
}
"""


def test_what_follows_runs_before_the_second_transposition() -> None:
    assert_expected_inline(
        text_through(GIVEN, stablehlo_pass("convolutions-channels-last")),
        """\
module {
  func.func public @main(%arg0: tensor<1x3x5x5xf32>, %arg1: tensor<2x3x1x1xf32> {bridge.weight}) ->
      tensor<1x2x5x5xf32> {
    %0 = stablehlo.transpose %arg0, dims = [0, 2, 3, 1] : (tensor<1x3x5x5xf32>) ->
        tensor<1x5x5x3xf32>
    %1 = stablehlo.reshape %arg1 : (tensor<2x3x1x1xf32>) -> tensor<2x3xf32>
    %2 = stablehlo.dot_general %0, %1, contracting_dims = [3] x [1] : (tensor<1x5x5x3xf32>,
        tensor<2x3xf32>) -> tensor<1x5x5x2xf32>
    %3 = stablehlo.transpose %2, dims = [0, 3, 1, 2] : (tensor<1x5x5x2xf32>) -> tensor<1x2x5x5xf32>
    %4 = stablehlo.negate %2 : tensor<1x5x5x2xf32>
    %5 = stablehlo.transpose %4, dims = [0, 3, 1, 2] : (tensor<1x5x5x2xf32>) -> tensor<1x2x5x5xf32>
    return %5 : tensor<1x2x5x5xf32>
  }
}
""",
    )


def varying(groups: int, height: str = "16") -> str:
    """A convolution of a batch that a call says, with a bias and a ReLU after it."""
    t, n = f"tensor<?x8x{height}x16xf32>", "tensor<4xi64>"
    kernel = f"tensor<8x{8 // groups}x1x1xf32>"
    return f"""
func.func public @main(%x: {t}, %w: {kernel}, %b: tensor<8x1x1xf32>) -> {t} {{
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  %rest = stablehlo.constant dense<[8, 16, 16]> : tensor<3xi64>
  %d = stablehlo.get_dimension_size %x, dim = 0 : ({t}) -> tensor<i32>
  %e = stablehlo.convert %d : (tensor<i32>) -> tensor<i64>
  %f = stablehlo.reshape %e : (tensor<i64>) -> tensor<1xi64>
  %n = stablehlo.concatenate %f, %rest, dim = 0 : (tensor<1xi64>, tensor<3xi64>) -> {n}
  %0 = stablehlo.convolution(%x, %w) dim_numbers = [b, f, 0, 1]x[o, i, 0, 1]->[b, f, 0, 1], window = {{}}
    {{batch_group_count = 1 : i64, feature_group_count = {groups} : i64}} : ({t}, {kernel}) -> {t}
  %1 = stablehlo.dynamic_broadcast_in_dim %b, %n, dims = [1, 2, 3] : (tensor<8x1x1xf32>, {n}) -> {t}
  %2 = stablehlo.add %0, %1 : {t}
  %3 = stablehlo.dynamic_broadcast_in_dim %zero, %n, dims = [] : (tensor<f32>, {n}) -> {t}
  %4 = stablehlo.maximum %2, %3 : {t}
  return %4 : {t}
}}
"""


def test_a_batch_that_a_call_says_is_in_a_region_too() -> None:
    shapes = [("n", 8, 16, 16), (8, 8, 1, 1), (8, 1, 1)]
    made = dynamic_through(varying(1), shapes, stablehlo_pass(CHANNELS_LAST))
    assert "stablehlo.convolution" not in made
    assert made.count("stablehlo.transpose") == 2
    assert made.index("stablehlo.maximum") < made.rindex("stablehlo.transpose")


@pytest.mark.parametrize(("groups", "height"), [(8, "16"), (1, "?")], ids=["groups", "height"])
def test_what_no_engine_takes_at_such_sizes_stays(groups: int, height: str) -> None:
    shapes = [("n", 8, "h" if height == "?" else 16, 16), (8, 8 // groups, 1, 1), (8, 1, 1)]
    made = dynamic_through(varying(groups, height), shapes, stablehlo_pass(CHANNELS_LAST))
    assert made.count("stablehlo.convolution") == 1
    assert "stablehlo.transpose" not in made
