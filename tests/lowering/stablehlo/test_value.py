"""Values: operators, broadcasting, and scalars rounded once."""

from __future__ import annotations

import pytest

from lowering.ir.types import DType
from lowering.stablehlo.build.elementwise import promote
from lowering.stablehlo.value import Value, broadcast, compare, constant

pytestmark = pytest.mark.usefixtures("module")


def f32(*shape: int) -> Value:
    return constant(1.5, DType.FLOAT32, shape)


def content(value: Value) -> str:
    return str(value.ir.owner.attributes["value"]).removeprefix("dense<").partition("> : ")[0]


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [
        (-1, DType.UINT8, "255"),
        (256 + 7, DType.UINT8, "7"),
        (2**63, DType.INT64, "-9223372036854775808"),
        (-1, DType.UINT64, "18446744073709551615"),
        (True, DType.INT32, "1"),
        (2.75, DType.INT32, "2"),
        (2, DType.BOOL, "true"),
        (1e300, DType.FLOAT32, "0x7F800000"),
        (60000, DType.FLOAT16, "6.000000e+04"),
    ],
)
def test_scalars(value: complex, dtype: DType, text: str) -> None:
    assert content(constant(value, dtype)) == text


@pytest.mark.parametrize(
    ("left", "right", "shape"),
    [((2, 3), (3,), (2, 3)), ((2, 1), (1, 3), (2, 3)), ((), (0, 3), (0, 3)), ((1,), (0,), (0,))],
)
def test_operands_broadcast(left: tuple[int, ...], right: tuple[int, ...], shape: tuple[int, ...]) -> None:
    assert (f32(*left) + f32(*right)).shape == shape
    assert (f32(*left) < f32(*right)).dtype is DType.BOOL


def test_scalars_on_either_side() -> None:
    x = f32(2)
    for result in (x + 1, 1 + x, x - 1, 1 - x, x * 2, 2 * x, x / 2, 2 / x, x**2, -x):
        assert (result.dtype, result.shape) == (DType.FLOAT32, (2,))


def test_dtypes_are_never_mixed() -> None:
    with pytest.raises(TypeError, match="operands of float32 and int32: a rule converts"):
        f32(2) + constant(1, DType.INT32, (2,))


def test_comparisons_make_values_and_so_values_have_no_hash() -> None:
    x = f32(2)
    assert isinstance(x == x, Value)
    with pytest.raises(TypeError, match="unhashable"):
        hash(x)
    assert compare(x, 1, "NE").dtype is DType.BOOL


def test_what_needs_no_operation_makes_none() -> None:
    x = f32(2, 3)
    assert broadcast(x, (2, 3)) is x


def test_promotion_is_torch_s() -> None:
    torch = pytest.importorskip("torch")
    dtypes = [d for d in DType if not d.value.startswith("float8")]
    wide = {DType.UINT16, DType.UINT32, DType.UINT64}
    for a in dtypes:
        for b in dtypes:
            if a in wide or b in wide or DType.COMPLEX32 in (a, b):
                continue
            expected = torch.promote_types(getattr(torch, a.value), getattr(torch, b.value))
            assert promote(a, b).value == str(expected).removeprefix("torch."), (a, b)
