"""One value against eager's: kind, dtype, sizes, density, elements; each difference in a sentence."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bridge.verification.compare import DECADES, compare
from bridge.verification.tolerances import Rounding
from lowering.ir.types import DType

INF, NAN = float("inf"), float("nan")


def problem(actual: Any, expected: Any, rounding: Rounding = Rounding.EXACT, **rest: Any) -> str:
    return compare("y", actual, expected, rounding, **rest).problem


def floats(*values: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.tensor(values, dtype=dtype)


@pytest.mark.parametrize(
    ("actual", "expected", "said"),
    [
        (1, 1.0, "is 1, eager gives 1.0"),
        (True, 1, "is True, eager gives 1"),
        (3, floats(3), "is int, eager gives a tensor"),
        (floats(1), floats(1, dtype=torch.float64), "is torch.float32, eager gives torch.float64"),
        (floats(1, 2), floats(1), "has sizes [2], eager gives [1]"),
        (torch.ones(2, 3).t(), torch.ones(3, 2), "has strides [1, 3], eager gives a dense tensor"),
        (torch.tensor([1, 2]), torch.tensor([1, 3]), "differs in 1 of 2 elements"),
        (torch.tensor([True]), torch.tensor([False]), "differs in 1 of 1 elements"),
        (floats(1, NAN), floats(1, 2), "differs in 1 of 2 elements, most at [1]: nan, eager gives 2"),
        (floats(1, 2), floats(1, NAN), "differs in 1 of 2 elements, most at [1]: 2, eager gives nan"),
        (floats(-INF), floats(INF), "differs in 1 of 1 elements, most at [0]: -inf, eager gives inf"),
        (floats(3e38), floats(INF), "differs in 1 of 1 elements, most at [0]: 3e+38, eager gives inf"),
        (floats(1, 2, 4), floats(1, 2, 3), "differs in 1 of 3 elements, most at [2]: 4, eager gives 3"),
    ],
)
def test_what_is_wrong_is_said(actual: Any, expected: Any, said: str) -> None:
    assert problem(actual, expected, Rounding.CONTRACTION) == said


@pytest.mark.parametrize(
    "value",
    [3, NAN, None, "text", floats(), floats(0, 1, INF, -INF, NAN), torch.ones(2, 3).t()],
    ids=str,
)
def test_the_same_passes(value: Any) -> None:
    assert problem(value, value) == ""


def test_eager_s_other_strides_are_not_asked_for() -> None:
    assert problem(torch.ones(3, 2), torch.ones(2, 3).t()) == ""


def test_roundings_pass_as_far_as_the_kind_allows() -> None:
    want = floats(1, 1000)
    near = floats(1 + 1e-3, 1000)
    assert problem(near, want, Rounding.CONTRACTION) == ""
    assert problem(near, want, Rounding.POINTWISE).startswith("differs in 1 of 2 elements, most at [0]")
    assert problem(floats(1, 1000.0001), want, Rounding.EXACT).startswith("differs in 1 of 2")


def test_a_coarser_rounding_on_the_way_counts() -> None:
    want, got = floats(1, 2), floats(1.01, 2)
    assert problem(got, want, Rounding.POINTWISE)
    assert not problem(got, want, Rounding.POINTWISE, coarsest=DType.BFLOAT16)


def test_the_error_is_the_largest_gap() -> None:
    assert compare("y", floats(1, 5), floats(1, 2), Rounding.EXACT).error == 3
    assert compare("y", torch.tensor([1, 5]), torch.tensor([1, 2]), Rounding.EXACT).error == 3
    assert compare("y", floats(1, NAN), floats(1, 2), Rounding.EXACT).error == INF


def test_the_histogram_counts_each_element_once() -> None:
    expected = torch.zeros(6, dtype=torch.float64)
    actual = torch.tensor([0, 1e-13, 5e-13, 0.5, 2000, INF], dtype=torch.float64)
    found = compare("y", actual, expected, Rounding.EXACT).histogram
    bars = dict(zip(("none", *DECADES, "more"), found, strict=True))
    assert {bar: count for bar, count in bars.items() if count} == {"none": 1, -12: 2, 0: 1, "more": 2}
    assert compare("y", 3, 3, Rounding.EXACT).histogram == ()
    same = torch.tensor([1, 2])
    assert compare("y", same, same, Rounding.EXACT).histogram[0] == 2
