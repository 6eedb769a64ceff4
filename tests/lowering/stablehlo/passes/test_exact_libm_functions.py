"""Functions of C's library are as exact on IREE as in eager, whose own are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from expecttest import assert_expected_inline
from torch import nn

import bridge
from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.through import evaluated, operations, text_through, through

EXACT = stablehlo_pass("exact-libm-functions")


class Angles(nn.Module):
    """Of float32, of halves, which are computed in it, and inside a branch."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        turned = torch.cond(x[0] > 0, lambda x: x.sin(), lambda x: x.cos(), (x,))
        return x.sin(), x.cos(), x.tan(), turned, x.bfloat16().sin()


def test_angles_are_as_exact_as_in_eager() -> None:
    """From 1e-10 to 1e8 either way: IREE's own sine of 1e-6 is off by a tenth, of 1e6 by 3e-2."""
    generator = torch.Generator().manual_seed(0)
    angles = 10 ** (torch.rand(4000, generator=generator) * 18 - 10)
    angles = torch.cat([angles, -angles, torch.tensor([0.0, torch.inf, -torch.inf, torch.nan])])
    lowered = bridge.lower(Angles(), (angles,))
    wanted = Angles()(angles.double())
    for found, want in zip(lowered.compile("iree")(angles)[:4], wanted, strict=False):
        torch.testing.assert_close(found.double(), want, rtol=3e-7, atol=0, equal_nan=True)
    counts = operations(through(lowered.module(0), stablehlo_pass("exact-libm-functions")))
    assert not counts["sine"] + counts["cosine"] + counts["tan"]


class Corners(nn.Module):
    """Functions of two numbers, in each direction, of float32 and float64."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.pow(x, y), torch.atan2(x, y), torch.pow(x.double(), y.double())


def test_powers_and_angles_of_two_are_those_of_eager() -> None:
    """IREE's own power of a negative number is NaN, its atan2 of zeros too."""
    inf, nan = torch.inf, torch.nan
    values = torch.tensor(
        [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0, 1e30, -1e30, inf, -inf, nan]
    )
    x, y = values.repeat_interleave(len(values)), values.repeat(len(values))
    found, wanted = bridge.lower(Corners(), (x, y)).compile("iree")(x, y), Corners()(x, y)
    for got, want in zip(found, wanted, strict=True):
        torch.testing.assert_close(got, want, equal_nan=True)
        there = ~want.isnan()
        assert torch.equal(torch.signbit(got[there]), torch.signbit(want[there]))


def test_powers_keep_their_digits() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(4000, generator=generator) * 50, torch.rand(4000, generator=generator) * 16 - 8
    found = bridge.lower(Corners(), (x, y)).compile("iree")(x, y)[0]
    torch.testing.assert_close(found.double(), torch.pow(x.double(), y.double()), rtol=3e-7, atol=0)


GIVEN = """
func.func public @main(%x: tensor<4xcomplex<f32>>) -> tensor<4xf32> {
  %0 = stablehlo.abs %x : (tensor<4xcomplex<f32>>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
"""


def test_squares_of_a_complex_number_are_of_float64() -> None:
    assert_expected_inline(
        text_through(GIVEN, stablehlo_pass("exact-libm-functions")),
        """\
module {
  func.func public @main(%arg0: tensor<4xcomplex<f32>>) -> tensor<4xf32> {
    %0 = stablehlo.real %arg0 : (tensor<4xcomplex<f32>>) -> tensor<4xf32>
    %1 = stablehlo.imag %arg0 : (tensor<4xcomplex<f32>>) -> tensor<4xf32>
    %2 = stablehlo.convert %0 : (tensor<4xf32>) -> tensor<4xf64>
    %3 = stablehlo.convert %1 : (tensor<4xf32>) -> tensor<4xf64>
    %4 = stablehlo.multiply %2, %2 : tensor<4xf64>
    %5 = stablehlo.multiply %3, %3 : tensor<4xf64>
    %6 = stablehlo.add %4, %5 : tensor<4xf64>
    %7 = stablehlo.sqrt %6 : tensor<4xf64>
    %8 = stablehlo.convert %7 : (tensor<4xf64>) -> tensor<4xf32>
    return %8 : tensor<4xf32>
  }
}
""",
    )


ONE = """
func.func public @main(%x: tensor<{n}x{t}>, %y: tensor<{n}x{t}>) -> tensor<{n}x{t}> {{
  %0 = stablehlo.{name} %x, %y : tensor<{n}x{t}>
  return %0 : tensor<{n}x{t}>
}}
"""
IN_A_BRANCH = """
func.func public @main(%p: tensor<i1>, %x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = "stablehlo.if"(%p) ({
    %1 = stablehlo.sine %x : tensor<4xf32>
    stablehlo.return %1 : tensor<4xf32>
  }, {
    stablehlo.return %x : tensor<4xf32>
  }) : (tensor<i1>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
"""
CORNERS = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0, np.inf, -np.inf, np.nan]


@pytest.mark.parametrize(
    ("name", "dtype", "wanted"),
    [
        ("power", torch.float32, torch.pow),
        ("power", torch.float64, torch.pow),
        ("atan2", torch.float32, torch.atan2),
    ],
)
def test_the_corners_are_spelled_out(name: str, dtype: torch.dtype, wanted: Any) -> None:
    """On the reference interpreter, in operations that every engine has right."""
    values = torch.tensor(CORNERS, dtype=dtype)
    x, y = values.repeat_interleave(len(values)), values.repeat(len(values))
    text = ONE.format(n=len(x), t="f32" if dtype is torch.float32 else "f64", name=name)
    assert "stablehlo.select" in text_through(text, EXACT), "the function is not left to the engine"
    (found,) = evaluated(text, [x.numpy(), y.numpy()], EXACT)
    torch.testing.assert_close(torch.from_numpy(found), wanted(x, y), equal_nan=True)


def test_functions_in_branches_are_exact_too() -> None:
    assert "stablehlo.sine" not in text_through(IN_A_BRANCH, EXACT)
    angles = np.array([0.5, -2.0, 1e3, 1e7], np.float32)
    (found,) = evaluated(IN_A_BRANCH, [np.array(True), angles], EXACT)
    np.testing.assert_allclose(found, np.sin(angles.astype(np.float64)), rtol=3e-7)
