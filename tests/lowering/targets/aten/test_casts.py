"""Every conversion of one element type to another, on each engine, at each level of the processor."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import bridge
from lowering.host.processor import processor
from lowering.ir.errors import EngineError

FLOAT8 = (
    torch.float8_e4m3fn,
    torch.float8_e5m2,
    torch.float8_e4m3fnuz,
    torch.float8_e5m2fnuz,
    torch.float8_e8m0fnu,
)
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


def hold(monkeypatch: pytest.MonkeyPatch, level: str) -> None:
    monkeypatch.setenv("BRIDGE_CPU", level)
    try:
        processor()
    except EngineError as error:
        pytest.skip(str(error))


# Others take most of a minute each; the lower level has few paths of its own.
@pytest.mark.parametrize(
    ("engine", "level"),
    [
        ("xla", "x86-64-v3"),
        *(
            pytest.param(*pair, marks=pytest.mark.conformance)
            for pair in (("iree", "x86-64-v3"), ("xla", "x86-64-v2"), ("iree", "x86-64-v2"))
        ),
    ],
)
def test_every_conversion_is_eagers(monkeypatch: pytest.MonkeyPatch, engine: str, level: str) -> None:
    hold(monkeypatch, level)
    kinds = (*FLOATS, *INTEGERS)
    given = [(values(dtype), kinds) for dtype in kinds]
    # Integers wrap around; a float beyond an integer's range means nothing in C, and in eager.
    given += [(beyond(dtype), FLOATS) for dtype in FLOATS]
    given += [(beyond(dtype), kinds) for dtype in INTEGERS if dtype is not torch.bool]
    check(engine, given)


def every_number(dtype: torch.dtype) -> torch.Tensor:
    """All numbers of a type of 8 or 16 bits; of others 5,000 drawn bits, and numbers near each limit."""
    generator = torch.Generator().manual_seed(0)
    if dtype.itemsize < 4:
        whole = torch.uint8 if dtype.itemsize == 1 else torch.int16
        return torch.arange(256**dtype.itemsize, dtype=torch.int32).to(whole).view(dtype)
    drawn = torch.randint(-(2**31), 2**31, (5000,), generator=generator).to(torch.int32).view(torch.float32)
    steps = torch.rand(2000, generator=generator, dtype=torch.float64) * 4
    # Next to the least normal and the least subnormal number of each type.
    small = [s * 2.0**e for e in (-149, -133, -126, -17, -16, -15, -14, -10, -8, -7) for s in steps.tolist()]
    wide = torch.cat([drawn.double(), torch.tensor([*small, *(-s for s in small)], dtype=torch.float64)])
    return wide.to(dtype)


@pytest.mark.parametrize("engine", ["iree", "xla"])
def test_every_float_becomes_every_float(engine: str) -> None:
    given = [(every_number(dtype), FLOATS) for dtype in FLOATS]
    given += [(beyond(dtype), (*FLOATS, *INTEGERS)) for dtype in INTEGERS if dtype is not torch.bool]
    check(engine, given)


@pytest.mark.parametrize("engine", ["iree", "xla"])
def test_every_small_float_becomes_integers(engine: str) -> None:
    # Eager's own code for uint32 differs by the tensor's size (docs/reference/differences.md).
    kinds = (*INTEGERS, torch.uint16, torch.uint64)
    check(engine, [(every_number(dtype), kinds) for dtype in FLOATS if dtype.itemsize < 4])


def check(engine: str, given: list[tuple[torch.Tensor, tuple[torch.dtype, ...]]]) -> None:
    """Each tensor as each of its types is eager's, in one segment on the engine."""
    args = tuple(x for x, _ in given)
    module = Casts([made for _, made in given])
    compiled = bridge.lower(module, args).compile(engine)
    assert not compiled.report.plan.reasons
    assert not compiled.report.fallbacks
    wrong = []
    for x, results, expected in zip(args, compiled(*args), module(*args), strict=True):
        for got, want in zip(results, expected, strict=True):
            assert got.dtype == want.dtype
            bad = differs(got, want)
            if bad.any():
                shown = [y.double()[bad][:9].tolist() for y in (x, got)]
                wrong.append(f"{x.dtype} to {want.dtype}: {shown[0]} is {shown[1]}")
    assert not wrong, "\n".join(wrong)


def differs(got: torch.Tensor, want: torch.Tensor) -> torch.Tensor:
    """Which elements differ in any bit, but for those of a NaN."""
    wide, other = got.double(), want.double()
    same = (wide == other) & (wide.signbit() == other.signbit()) | (wide.isnan() & other.isnan())
    return ~same
