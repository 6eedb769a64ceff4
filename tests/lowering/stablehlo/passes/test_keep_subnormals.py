"""Which comparisons are done on bits: those of what comes from outside, not of what arithmetic made."""

from __future__ import annotations

import numpy as np
import pytest
from expecttest import assert_expected_inline

from lowering.ir.types import DType
from lowering.stablehlo.passes import stablehlo_pass
from lowering.stablehlo.passes.keep_subnormals import _key_of
from tests.lowering.stablehlo.passes.through import evaluated, text_through

BODIES = {
    "argument and zero": ("%c = stablehlo.compare GT, %x, %zero : {f}", True),
    "argument and a subnormal": ("%c = stablehlo.compare GT, %x, %tiny : {f}", True),
    "argument and one": ("%c = stablehlo.compare GT, %x, %one : {f}", False),
    "two arguments": ("%c = stablehlo.compare LE, %x, %y : {f}", True),
    "moved": (
        "%m = stablehlo.reverse %x, dims = [0] : tensor<4xf32>\n%c = stablehlo.compare EQ, %m, %zero : {f}",
        True,
    ),
    "a sum": (
        "%m = stablehlo.add %x, %y : tensor<4xf32>\n%c = stablehlo.compare EQ, %m, %zero : {f}",
        False,
    ),
    "a test for NaN": ("%c = stablehlo.compare NE, %x, %x : {f}", False),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_which_comparisons_are_done_on_bits(name: str) -> None:
    body, wanted = BODIES[name]
    text = "func.func public @main(%x: tensor<4xf32>, %y: tensor<4xf32>) -> tensor<4xi1> {\n"
    for constant, value in (("zero", "0.0"), ("one", "1.0"), ("tiny", "0x00000007")):
        text += f"%{constant} = stablehlo.constant dense<{value}> : tensor<4xf32>\n"
    text += body.format(f="(tensor<4xf32>, tensor<4xf32>) -> tensor<4xi1>") + "\nreturn %c : tensor<4xi1> }"
    assert ("bitcast_convert" in text_through(text, stablehlo_pass("keep-subnormals"))) is wanted


@pytest.mark.parametrize(
    ("dtype", "number", "bits"),
    [(DType.FLOAT32, np.float32, np.int32), (DType.FLOAT64, np.float64, np.int64)],
)
def test_the_key_of_a_constant_is_its_bits(dtype: DType, number: type, bits: type) -> None:
    for count in (1, 7, 8_000_000):
        value = np.array(count, bits).view(number)
        assert _key_of(float(value), dtype) == count
        assert _key_of(-float(value), dtype) == -count


COMPARISONS = {
    "EQ": np.equal,
    "NE": np.not_equal,
    "LT": np.less,
    "LE": np.less_equal,
    "GT": np.greater,
    "GE": np.greater_equal,
}
NUMBERS = np.array([0, -0.0, 7e-45, -7e-45, 1e-44, 1.5, -1.5, np.inf, -np.inf, np.nan], np.float32)


@pytest.mark.parametrize("direction", COMPARISONS)
def test_two_arguments_compare_as_numbers_do(direction: str) -> None:
    x, y = np.repeat(NUMBERS, len(NUMBERS)), np.tile(NUMBERS, len(NUMBERS))
    text = GIVEN.replace("LT", direction).replace("4x", "100x")
    (found,) = evaluated(text, [x, y], stablehlo_pass("keep-subnormals"))
    np.testing.assert_array_equal(found, COMPARISONS[direction](x, y))


@pytest.mark.parametrize("first", [True, False], ids=["constant first", "constant last"])
@pytest.mark.parametrize("constant", ["0.0", "0x00000005", "0x80000005"])
@pytest.mark.parametrize("direction", COMPARISONS)
def test_an_argument_and_a_constant_compare_as_numbers_do(direction: str, constant: str, first: bool) -> None:
    text = f"""
    func.func public @main(%x: tensor<10xf32>) -> tensor<10xi1> {{
      %c = stablehlo.constant dense<{constant}> : tensor<10xf32>
      %0 = stablehlo.compare {direction}, {"%c, %x" if first else "%x, %c"} :
        (tensor<10xf32>, tensor<10xf32>) -> tensor<10xi1>
      return %0 : tensor<10xi1>
    }}
    """
    bits = int(constant, 16) if constant.startswith("0x") else 0
    number = np.array(bits, np.uint32).view(np.float32)
    made = text_through(text, stablehlo_pass("keep-subnormals"))
    assert "bitcast_convert" in made
    (found,) = evaluated(text, [NUMBERS], stablehlo_pass("keep-subnormals"))
    given = (number, NUMBERS) if first else (NUMBERS, number)
    np.testing.assert_array_equal(found, COMPARISONS[direction](*given))


GIVEN = """
func.func public @main(%x: tensor<4xf32>, %y: tensor<4xf32>) -> tensor<4xi1> {
  %0 = stablehlo.compare LT, %x, %y : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xi1>
  return %0 : tensor<4xi1>
}
"""


def test_two_arguments_are_compared_as_integers() -> None:
    assert_expected_inline(
        text_through(GIVEN, stablehlo_pass("keep-subnormals")),
        """\
module {
  func.func public @main(%arg0: tensor<4xf32>, %arg1: tensor<4xf32>) -> tensor<4xi1> {
    %0 = stablehlo.bitcast_convert %arg0 : (tensor<4xf32>) -> tensor<4xi32>
    %c = stablehlo.constant dense<0> : tensor<i32>
    %1 = stablehlo.broadcast_in_dim %c, dims = [] : (tensor<i32>) -> tensor<4xi32>
    %2 = stablehlo.compare LT, %0, %1 : (tensor<4xi32>, tensor<4xi32>) -> tensor<4xi1>
    %c_0 = stablehlo.constant dense<-2147483648> : tensor<i32>
    %3 = stablehlo.broadcast_in_dim %c_0, dims = [] : (tensor<i32>) -> tensor<4xi32>
    %4 = stablehlo.subtract %3, %0 : tensor<4xi32>
    %5 = stablehlo.select %2, %4, %0 : tensor<4xi1>, tensor<4xi32>
    %6 = stablehlo.bitcast_convert %arg1 : (tensor<4xf32>) -> tensor<4xi32>
    %c_1 = stablehlo.constant dense<0> : tensor<i32>
    %7 = stablehlo.broadcast_in_dim %c_1, dims = [] : (tensor<i32>) -> tensor<4xi32>
    %8 = stablehlo.compare LT, %6, %7 : (tensor<4xi32>, tensor<4xi32>) -> tensor<4xi1>
    %c_2 = stablehlo.constant dense<-2147483648> : tensor<i32>
    %9 = stablehlo.broadcast_in_dim %c_2, dims = [] : (tensor<i32>) -> tensor<4xi32>
    %10 = stablehlo.subtract %9, %6 : tensor<4xi32>
    %11 = stablehlo.select %8, %10, %6 : tensor<4xi1>, tensor<4xi32>
    %12 = stablehlo.compare LT, %5, %11 : (tensor<4xi32>, tensor<4xi32>) -> tensor<4xi1>
    %13 = stablehlo.compare NE, %arg0, %arg0 : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xi1>
    %14 = stablehlo.not %13 : tensor<4xi1>
    %15 = stablehlo.and %12, %14 : tensor<4xi1>
    %16 = stablehlo.compare NE, %arg1, %arg1 : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xi1>
    %17 = stablehlo.not %16 : tensor<4xi1>
    %18 = stablehlo.and %15, %17 : tensor<4xi1>
    return %18 : tensor<4xi1>
  }
}
""",
    )


CASTS = {"f32": np.float32, "f64": np.float64}


@pytest.mark.parametrize(("given", "made"), [("f32", "f64"), ("f64", "f32")])
def test_casts_keep_subnormals(given: str, made: str) -> None:
    """No step takes or gives a subnormal number as one, so that nothing is there to be flushed."""
    smallest = 2.0**-149
    numbers = [
        0.0,
        1.5,
        2.0**-126,
        1e38,
        np.inf,
        np.nan,
        *(n * smallest for n in (1, 7, 2.0**22, 2.0**23 - 1)),
    ]
    if given == "f64":
        numbers += [n * smallest for n in (0.5, 0.5000001, 1.5, 2.5, 2.0**23 - 0.5, 0.49)]
    x = np.array([*numbers, *(-n for n in numbers)], CASTS[given])
    text = f"""func.func public @main(%x: tensor<{len(x)}x{given}>) -> tensor<{len(x)}x{made}> {{
        %y = stablehlo.convert %x : (tensor<{len(x)}x{given}>) -> tensor<{len(x)}x{made}>
        return %y : tensor<{len(x)}x{made}> }}"""
    keep = stablehlo_pass("keep-subnormals")
    assert "bitcast_convert" in text_through(text, keep)
    (found,) = evaluated(text, [x], keep)
    want = x.astype(CASTS[made])
    np.testing.assert_array_equal(found, want)
    np.testing.assert_array_equal(np.signbit(found[~np.isnan(want)]), np.signbit(want[~np.isnan(want)]))
