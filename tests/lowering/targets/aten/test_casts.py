"""Every conversion of one element type to another, on each engine, at each level of the processor."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import bridge
from lowering.host.processor import processor
from lowering.ir.errors import EngineError

FLOAT8 = (torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz)
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16, *FLOAT8)
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)

# Halfway between two bfloat16, two float16 or two float8; after a first rounding to float32, too.
TIES = [1.00390625, 1.01171875, 1.00048828125, 1.0625, 1.1875, 1.00390625 + 2.0**-30, 1.01171875 - 2.0**-30]
SMALL = [0, 1, 2, 3, 17, 19, 100, 112]
# Of more bits than bfloat16, float16 and float32 have; the last two are halfway after one rounding only.
LONG = [255, 257, 259, 32767, 65505, 2**24 + 1, 2**24 + 3, 2**31 - 1, 2**53 + 1, 2**63 - 1]
LONG += [(1 << 40) + (1 << 32) + 1, (1 << 40) + (3 << 32) - 1]


def values(dtype: torch.dtype) -> torch.Tensor:
    """Numbers of this type that every other can hold, and that round in every way."""
    if dtype is torch.bool:
        return torch.tensor([True, False])
    numbers = SMALL if dtype in INTEGERS else [*SMALL, *TIES, -0.0, 0.5, 1.5, 2.5, 99.5, 1e-3]
    return torch.tensor(numbers, dtype=torch.float64).to(dtype)


def beyond(dtype: torch.dtype) -> torch.Tensor:
    """Numbers of this type that integers of eight bits cannot hold, and what only floats do; no denormal."""
    if dtype.is_floating_point:
        numbers = [-1.0, 300.0, 440.0, 3e38, -3e38, 7e4, 500.0, math.inf, -math.inf, math.nan]
        return torch.tensor([*numbers, *(-tie for tie in TIES)], dtype=torch.float64).to(dtype)
    most, least = torch.iinfo(dtype).max, torch.iinfo(dtype).min
    numbers = (*LONG, *(-n for n in LONG), most, least)
    return torch.tensor([n for n in numbers if least <= n <= most], dtype=dtype)


class Casts(torch.nn.Module):
    """Each argument as each type that it is to be converted to."""

    def __init__(self, wanted: list[tuple[torch.dtype, ...]]) -> None:
        super().__init__()
        self.wanted = wanted

    def forward(self, *args: torch.Tensor) -> Any:
        return [[x.to(dtype) for dtype in made] for x, made in zip(args, self.wanted, strict=True)]


def lowers(engine: str, given: torch.dtype, made: torch.dtype) -> bool:
    """Whether an engine has a conversion; IREE has those of float8 to and from float32 and what it widens.

    Of float16 and float64 it says "failed to legalize", on every processor: such a node runs on ATen.
    """
    pair = {given, made}
    return engine != "iree" or pair.isdisjoint(FLOAT8) or pair.isdisjoint({torch.float16, torch.float64})


def hold(monkeypatch: pytest.MonkeyPatch, level: str) -> None:
    monkeypatch.setenv("BRIDGE_CPU", level)
    try:
        processor()
    except EngineError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("level", ["host", "x86-64-v2", "x86-64-v3"])
@pytest.mark.parametrize("engine", ["iree", "xla"])
def test_every_conversion_is_eagers(monkeypatch: pytest.MonkeyPatch, engine: str, level: str) -> None:
    hold(monkeypatch, level)
    kinds = (*FLOATS, *INTEGERS)
    given = [(values(dtype), kinds) for dtype in kinds]
    # Integers wrap around; a float beyond an integer's range means nothing in C, and in eager.
    given += [(beyond(dtype), FLOATS) for dtype in FLOATS]
    given += [(beyond(dtype), kinds) for dtype in INTEGERS if dtype is not torch.bool]
    args = tuple(x for x, _ in given)
    module = Casts([tuple(to for to in made if lowers(engine, x.dtype, to)) for x, made in given])
    compiled = bridge.lower(module, args).compile(engine)
    assert not compiled.report.plan.reasons
    assert not compiled.report.fallbacks
    wrong = [
        f"{x.dtype} to {want.dtype}: {x.double()[bad].tolist()} is {got.double()[bad].tolist()}"
        for x, results, expected in zip(args, compiled(*args), module(*args), strict=True)
        for got, want in zip(results, expected, strict=True)
        if got.dtype != want.dtype or (bad := differs(got, want)).any()
    ]
    assert not wrong, "\n".join(wrong)


def differs(got: torch.Tensor, want: torch.Tensor) -> torch.Tensor:
    """Which elements differ in any bit, but for those of a NaN."""
    wide, other = got.double(), want.double()
    same = (wide == other) & (wide.signbit() == other.signbit()) | (wide.isnan() & other.isnan())
    return ~same
