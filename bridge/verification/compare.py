"""Comparing one value with what eager gives: kind, dtype, shape, elements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from bridge.verification.tolerances import Rounding, tolerance
from lowering.ir.types import DType


@dataclass(frozen=True, slots=True)
class Difference:
    """How one value compares: `problem` is empty where it passes, `error` the largest difference."""

    name: str
    error: float
    problem: str = ""

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
) -> Difference:
    """Compare a tensor or Python value with eager's: dtype, shape and, within tolerance, elements.

    A result that is dense and row-major in eager must be so here. Other strides are not compared, since
    engines make every result row-major. `reference`: the name of the expected value in a problem. `coarsest`:
    the dtype whose roundings the value has, where that is not its own.
    """
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
    return _compare_elements(name, actual.detach().cpu(), expected.detach(), rounding, reference, coarsest)


def _compare_elements(
    name: str,
    actual: torch.Tensor,
    expected: torch.Tensor,
    rounding: Rounding,
    reference: str,
    coarsest: DType | None,
) -> Difference:
    if expected.numel() == 0:
        return Difference(name, 0.0)
    dtype = DType(str(expected.dtype).removeprefix("torch."))
    if not (dtype.is_floating or dtype.is_complex):
        wrong = int((actual != expected).sum())
        error = float((actual.double() - expected.double()).abs().max())
        return Difference(name, error, f"differs in {wrong} of {expected.numel()} elements" if wrong else "")
    wide = torch.complex128 if dtype.is_complex else torch.float64
    got, want = actual.to(wide), expected.to(wide)
    finite = torch.isfinite(want)
    # NaN matches NaN, an infinity its own sign; everything else is measured.
    same = (got == want) | (torch.isnan(got) & torch.isnan(want))
    gap = torch.where(same, 0.0, (got - want).abs())
    gap = torch.where(torch.isnan(gap), float("inf"), gap)
    largest = float(want[finite].abs().max()) if bool(finite.any()) else 0.0
    rtol, scale = tolerance(coarsest or dtype, rounding)
    allowed = torch.where(finite, rtol * want.abs() + scale * largest, 0.0)
    wrong = int((gap > allowed).sum())
    error = float(gap.max())
    if not wrong:
        return Difference(name, error)
    at = int((gap - allowed).argmax())
    place = [int(i) for i in torch.unravel_index(torch.tensor(at), expected.shape)]
    return Difference(
        name,
        error,
        f"differs in {wrong} of {expected.numel()} elements, most at {place}: "
        f"{got.flatten()[at].item():.8g}, {reference} {want.flatten()[at].item():.8g}",
    )
