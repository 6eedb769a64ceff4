"""Comparing one value with what eager gives: kind, dtype, shape, elements."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from bridge.verification.tolerances import Given, Rounding, tolerance
from lowering.ir.types import DType

#: The bounds of a histogram's bars, as powers of ten.
DECADES = tuple(range(-12, 4))


@dataclass(frozen=True, slots=True)
class Difference:
    """How one value compares: `problem` is empty where it passes.

    `error`, `mean`: the largest and the mean absolute difference of its elements. `type`: eager's dtype and
    sizes, as `float32[2, 3]`. `histogram`: how many elements have no difference, one below each of `DECADES`,
    and a larger one. It is empty where elements were not compared.
    """

    name: str
    error: float
    problem: str = ""
    mean: float = 0.0
    type: str = ""
    histogram: tuple[int, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.problem


def compare(
    name: str,
    actual: Any,
    expected: Any,
    rounding: Rounding,
    reference: str = "eager gives",
    coarsest: DType | None = None,
    given: Given | None = None,
) -> Difference:
    """Compare a tensor or Python value with eager's: dtype, shape and, within tolerance, elements.

    A result that is dense and row-major in eager must be so here. Other strides are not compared, since
    engines make every result row-major. `reference`: the name of the expected value in a problem. `coarsest`:
    the dtype whose roundings the value has, where that is not its own. `given`: in place of the table's.
    """
    found = _compare(name, actual, expected, rounding, reference, coarsest, given)
    return replace(found, type=_type_of(expected))


def _type_of(value: Any) -> str:
    if not isinstance(value, torch.Tensor):
        return type(value).__name__
    return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"


def _compare(
    name: str,
    actual: Any,
    expected: Any,
    rounding: Rounding,
    reference: str,
    coarsest: DType | None,
    given: Given | None,
) -> Difference:
    if not isinstance(expected, torch.Tensor):
        same = type(actual) is type(expected) and (
            actual == expected or (actual != actual and expected != expected)
        )
        return Difference(name, 0.0, "" if same else f"is {actual!r}, {reference} {expected!r}")
    if not isinstance(actual, torch.Tensor):
        return Difference(name, float("inf"), f"is {type(actual).__name__}, {reference} a tensor")
    if actual.dtype != expected.dtype:
        return Difference(name, float("inf"), f"is {actual.dtype}, {reference} {expected.dtype}")
    if actual.shape != expected.shape:
        return Difference(
            name, float("inf"), f"has sizes {list(actual.shape)}, {reference} {list(expected.shape)}"
        )
    if expected.is_contiguous() and not actual.is_contiguous():
        strides = f"has strides {list(actual.stride())}, {reference} a dense tensor"
        return Difference(name, float("inf"), strides)
    pair = actual.detach().cpu(), expected.detach()
    return _compare_elements(name, *pair, rounding, reference, coarsest, given)


def _compare_elements(
    name: str,
    actual: torch.Tensor,
    expected: torch.Tensor,
    rounding: Rounding,
    reference: str,
    coarsest: DType | None,
    given: Given | None,
) -> Difference:
    if expected.numel() == 0:
        return Difference(name, 0.0)
    dtype = DType(str(expected.dtype).removeprefix("torch."))
    if not (dtype.is_floating or dtype.is_complex):
        wrong = int((actual != expected).sum())
        gap = (actual.double() - expected.double()).abs()
        problem = f"differs in {wrong} of {expected.numel()} elements" if wrong else ""
        return Difference(name, float(gap.max()), problem, float(gap.mean()), histogram=_histogram(gap))
    wide = torch.complex128 if dtype.is_complex else torch.float64
    got, want = actual.to(wide), expected.to(wide)
    finite = torch.isfinite(want)
    # NaN matches NaN, an infinity its own sign; everything else is measured.
    same = (got == want) | (torch.isnan(got) & torch.isnan(want))
    gap = torch.where(same, 0.0, (got - want).abs())
    gap = torch.where(torch.isnan(gap), float("inf"), gap)
    largest = float(want[finite].abs().max()) if bool(finite.any()) else 0.0
    if given is not None:
        rtol, slack = given
    else:
        rtol, scale = tolerance(coarsest or dtype, rounding)
        slack = scale * largest
    allowed = torch.where(finite, rtol * want.abs() + slack, 0.0)
    wrong = int((gap > allowed).sum())
    error, mean = float(gap.max()), float(gap.mean())
    bars = _histogram(gap)
    if not wrong:
        return Difference(name, error, mean=mean, histogram=bars)
    at = int((gap - allowed).argmax())
    place = [int(i) for i in torch.unravel_index(torch.tensor(at), expected.shape)]
    return Difference(
        name,
        error,
        f"differs in {wrong} of {expected.numel()} elements, most at {place}: "
        f"{got.flatten()[at].item():.8g}, {reference} {want.flatten()[at].item():.8g}",
        mean,
        histogram=bars,
    )


def _histogram(gap: torch.Tensor) -> tuple[int, ...]:
    """How many of some differences are 0, below each of `DECADES`, and larger."""
    bounds = torch.tensor([10.0**decade for decade in DECADES], dtype=torch.float64)
    bars = torch.bucketize(gap[gap != 0].flatten(), bounds, right=True)
    counts = torch.bincount(bars, minlength=len(DECADES) + 1)
    return (int((gap == 0).sum()), *counts.tolist())
