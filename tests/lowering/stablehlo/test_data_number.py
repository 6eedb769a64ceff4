"""Numbers that only the data tells: they pose as plain ones, are computed with, and are never had."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from lowering.ir.types import DType
from lowering.stablehlo.build.elementwise import Elementwise
from lowering.stablehlo.data_number import DataNumber, is_data_number
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.value import constant

pytestmark = pytest.mark.usefixtures("module")


def number(dtype: DType) -> Any:
    return DataNumber(constant(3, dtype))


def made_by(value: Any) -> str:
    return value.ir.owner.name


@pytest.mark.parametrize(
    ("dtype", "class_"), [(DType.INT64, int), (DType.FLOAT64, float), (DType.BOOL, bool)]
)
def test_it_poses_as_a_plain_number(dtype: DType, class_: type) -> None:
    found = number(dtype)
    assert isinstance(found, class_)
    assert is_data_number(found)
    assert not is_data_number(class_(3))
    assert repr(found) == f"a {class_.__name__} from the data"


def test_arithmetic_is_built() -> None:
    whole, real = number(DType.INT64), number(DType.FLOAT64)
    assert [made_by((1 + whole).value), made_by((whole - 2).value), made_by((2 - whole).value)] == [
        "stablehlo.add",
        "stablehlo.subtract",
        "stablehlo.subtract",
    ]
    assert made_by((-1 * real).value) == made_by((-real).value) == "stablehlo.multiply"
    assert (1 / real).value.dtype is (real / 3).value.dtype is DType.FLOAT64
    assert (whole + whole).value.dtype is DType.INT64


@pytest.mark.parametrize(
    "use",
    [
        bool, int, float, complex, hash, abs, range, math.isnan, lambda n: n == 1, lambda n: n < 2,
        lambda n: [0, 1][n], lambda n: n / 2, lambda n: n // 2, lambda n: n + 0.5, lambda n: n**2,
        lambda n: {1: 2}.get(n), lambda n: n + number(DType.FLOAT64), lambda n: max(n, 2),
    ],
)  # fmt: skip
def test_the_number_itself_cannot_be_had(use: Callable[[Any], Any]) -> None:
    with pytest.raises(Unsupported, match="a number before the call that only the data tells"):
        use(number(DType.INT64))


@pytest.mark.parametrize(
    ("dtype", "to", "operations"),
    [
        (DType.INT64, DType.INT64, ["stablehlo.constant"]),
        (DType.INT64, DType.INT8, ["stablehlo.convert"]),
        (DType.INT64, DType.FLOAT32, ["stablehlo.convert"]),
        (DType.INT64, DType.BOOL, ["stablehlo.compare"]),
        (DType.BOOL, DType.FLOAT32, ["stablehlo.convert"]),
        # As eager rounds: to float32 first.
        (DType.FLOAT64, DType.BFLOAT16, ["stablehlo.convert", "stablehlo.convert"]),
    ],
)
def test_it_becomes_a_constant_of_any_type(dtype: DType, to: DType, operations: list[str]) -> None:
    made = constant(number(dtype), to, (2,))
    assert (made.dtype, made.shape) == (to, (2,))
    owner = made.ir.owner.operands[0].owner
    for name in operations:
        assert owner.name == name
        owner = owner.operands[0].owner if owner.operands else owner


def test_a_float_becomes_no_integer() -> None:
    with pytest.raises(Unsupported, match="a float64 from the data would become a int32"):
        constant(number(DType.FLOAT64), DType.INT32)


def test_it_promotes_as_a_python_number() -> None:
    whole = constant(1, DType.INT32, (2,))
    promoted = [Elementwise().result_type(whole, number(d)) for d in (DType.INT64, DType.FLOAT64, DType.BOOL)]
    assert promoted == [DType.INT32, DType.FLOAT32, DType.INT32]
