"""Conversions of float8 in bits, by StableHLO's reference interpreter, are eager's at all 256 numbers."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.through import evaluated, text_through

TYPES = {
    "f8E4M3FN": torch.float8_e4m3fn,
    "f8E5M2": torch.float8_e5m2,
    "f8E4M3FNUZ": torch.float8_e4m3fnuz,
    "f8E5M2FNUZ": torch.float8_e5m2fnuz,
}
PASS = stablehlo_pass("legalise-float8")


def converting(given: str, made: str, count: int) -> str:
    """A module that takes and gives a float8 as its bits."""
    outside = [re.sub("^f8.*", "ui8", type_) for type_ in (given, made)]
    steps = [f"%x = stablehlo.bitcast_convert %arg : (tensor<{count}xui8>) -> tensor<{count}x{given}>"]
    steps += [f"%y = stablehlo.convert %x : (tensor<{count}x{given}>) -> tensor<{count}x{made}>"]
    steps += [f"%z = stablehlo.bitcast_convert %y : (tensor<{count}x{made}>) -> tensor<{count}xui8>"]
    if outside[0] == given:
        steps = [step.replace("%x", "%arg") for step in steps[1:]]
    if outside[1] == made:
        steps = steps[:-1]
    result = "%z" if outside[1] != made else "%y"
    body = "\n".join([*steps, f"return {result} : tensor<{count}x{outside[1]}>"])
    return (
        f"func.func public @main(%arg: tensor<{count}x{outside[0]}>) -> tensor<{count}x{outside[1]}> {{\n"
        f"{body}\n}}"
    )


@pytest.mark.parametrize("name", TYPES)
def test_a_float32_becomes_the_nearest(name: str) -> None:
    dtype = TYPES[name]
    numbers = torch.arange(256, dtype=torch.int32).to(torch.uint8).view(dtype).double()
    finite = numbers[numbers.isfinite()].unique()
    between = (finite[1:] + finite[:-1]) / 2
    near = torch.cat([between * (1 + step) for step in (0.0, 1e-7, -1e-7)])
    most = float(torch.finfo(dtype).max)
    # Above the largest number eager saturates e4m3fn, which is the rule's part.
    ends = [0.0, -0.0, torch.nan] if name == "f8E4M3FN" else [0.0, -0.0, torch.nan, torch.inf, -3 * most]
    given = torch.cat([finite, near, torch.tensor(ends, dtype=torch.float64)]).float()
    made = evaluated(converting("f32", name, len(given)), [given.numpy()], PASS)[0]
    found = torch.from_numpy(made).view(dtype)
    want = given.to(dtype)
    assert torch.equal(found.double().nan_to_num(7e9), want.double().nan_to_num(7e9))
    assert torch.equal(found.double().signbit()[~found.isnan()], want.double().signbit()[~found.isnan()])


@pytest.mark.parametrize("name", TYPES)
def test_each_number_becomes_float64(name: str) -> None:
    bits = torch.arange(256, dtype=torch.int32).to(torch.uint8)
    made = evaluated(converting(name, "f64", 256), [bits.numpy()], PASS)[0]
    np.testing.assert_array_equal(made, bits.view(TYPES[name]).double().numpy())


def test_other_conversions_stay() -> None:
    text = converting("f32", "f16", 3)
    assert text_through(text, PASS) == text_through(text)
