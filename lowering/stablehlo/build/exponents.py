"""Conversions from and to float8_e8m0fnu: the exponent of a float32, 2^(bits - 127), and 255 for NaN.

Both are spelled in bits. Eager drops the sign, takes zero for the least number, and rounds to the nearest
power of two, which compilers do otherwise, each in its own way. The least number is a subnormal of float32,
which arithmetic would flush.
"""

from __future__ import annotations

from lowering.ir.types import DType
from lowering.stablehlo.hlo import stablehlo
from lowering.stablehlo.value import Value, binary, bitcast, compare, converted, select

_BIAS = {DType.FLOAT32: 127, DType.FLOAT64: 1023}
_MANTISSA_BITS = {DType.FLOAT32: 23, DType.FLOAT64: 52}
_BITS = {DType.FLOAT32: DType.INT32, DType.FLOAT64: DType.INT64}
_NAN = 255


def to_exponents(value: Value) -> Value:
    """A float32 tensor as float8_e8m0fnu (c10/util/Float8_e8m0fnu.h).

    Of two powers of two that are equally near, it is the upper one, except below the least normal float32.
    """
    bits = bitcast(value, DType.INT32) & 0x7FFF_FFFF
    exponent = binary(stablehlo.shift_right_logical, bits, 23)
    rest = bits & 0x7F_FFFF
    half = 1 << 22
    up = (rest > half) | (compare(rest, half, "EQ") & (exponent > 0))
    rounded = select(compare(exponent, _NAN, "EQ"), exponent, exponent + converted(up, DType.INT32))
    return bitcast(converted(rounded, DType.UINT8), DType.FLOAT8_E8M0FNU)


def from_exponents(value: Value, dtype: DType) -> Value:
    """A float8_e8m0fnu tensor as float32 or float64, which hold each of its numbers."""
    mantissa = _MANTISSA_BITS[dtype]
    raw = converted(bitcast(value, DType.UINT8), _BITS[dtype])
    bits = binary(stablehlo.shift_left, raw + (_BIAS[dtype] - 127), mantissa)
    if dtype is DType.FLOAT32:
        bits = select(compare(raw, 0, "EQ"), 1 << mantissa - 1, bits)
    nan = (2 * _BIAS[dtype] + 1 << mantissa) | 1 << mantissa - 1
    return bitcast(select(compare(raw, _NAN, "EQ"), nan, bits), dtype)
