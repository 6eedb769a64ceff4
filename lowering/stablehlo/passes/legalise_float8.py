"""Convert from and to float8 by way of float32, and round in bits.

An engine may have conversions of float8 for some types only, and may round wrongly next to the least normal
number. The bits of a rounded float32 are an integer addition away, and those of a subnormal float8 a
floating-point one.
"""

from __future__ import annotations

from typing import NamedTuple

from lowering.ir.types import DType
from lowering.stablehlo.hlo import ir, stablehlo
from lowering.stablehlo.passes.parsed import ParsedModule
from lowering.stablehlo.passes.rewrite import everywhere, replace
from lowering.stablehlo.value import Value, binary, bitcast, compare, converted, select


class _Format(NamedTuple):
    """A type of eight bits. `largest`: the bits of its largest number; `beyond`: of what is larger."""

    mantissa: int
    bias: int
    largest: int
    beyond: int
    nan: int
    has_signed_zero: bool = True


_FORMATS = {
    DType.FLOAT8_E4M3FN: _Format(3, 7, 0x7E, 0x7F, 0x7F),
    DType.FLOAT8_E5M2: _Format(2, 15, 0x7B, 0x7C, 0x7F),
    DType.FLOAT8_E4M3FNUZ: _Format(3, 8, 0x7F, 0x80, 0x80, has_signed_zero=False),
    DType.FLOAT8_E5M2FNUZ: _Format(2, 16, 0x7F, 0x80, 0x80, has_signed_zero=False),
}
_INFINITY = 0x7F80_0000
_MANTISSA = 23


def rewrite(parsed: ParsedModule) -> None:
    for op in everywhere(parsed.block):
        if op.operation.name != "stablehlo.convert":
            continue
        operand, dtype = Value(op.operation.operands[0]), Value(op.operation.results[0]).dtype
        if operand.dtype in _FORMATS or dtype in _FORMATS:
            with ir.InsertionPoint(op), op.operation.location:
                single = _widened(operand) if operand.dtype in _FORMATS else converted(operand, DType.FLOAT32)
                replace(op, _rounded(single, dtype) if dtype in _FORMATS else converted(single, dtype))


def _widened(value: Value) -> Value:
    """A float8 as float32. An engine may take the NaN of float8_e4m3fn for a number."""
    single = converted(value, DType.FLOAT32)
    if value.dtype is not DType.FLOAT8_E4M3FN:
        return single
    bits = bitcast(value, DType.UINT8) & 0x7F
    return select(compare(bits, _FORMATS[value.dtype].nan, "EQ"), float("nan"), single)


def _rounded(single: Value, dtype: DType) -> Value:
    """A float32 as the nearest float8, of two the even one (c10/util/Float8_*.h)."""
    form = _FORMATS[dtype]
    bits = bitcast(single, DType.INT32)
    size = bits & 0x7FFF_FFFF
    cut = _MANTISSA - form.mantissa
    even = binary(stablehlo.shift_right_logical, size, cut) & 1
    normal = size + (((form.bias - 127) << _MANTISSA) + (1 << cut - 1) - 1) + even
    normal = binary(stablehlo.shift_right_arithmetic, normal, cut)
    # Added to this number, a subnormal float8 stands in the last bits of the sum.
    unit = 2.0 ** (1 - form.bias - form.mantissa + _MANTISSA)
    sum_ = bitcast(bitcast(size, DType.FLOAT32) + unit, DType.INT32)
    subnormal = sum_ - ((1 - form.bias - form.mantissa + _MANTISSA + 127) << _MANTISSA)
    made = select(size < ((128 - form.bias) << _MANTISSA), subnormal, normal)
    made = select(made > form.largest, form.beyond, made)
    made = select(size > _INFINITY, form.nan, made)
    sign = binary(stablehlo.shift_right_logical, bits, 24) & 0x80
    if not form.has_signed_zero:
        sign = select(compare(made, 0, "EQ"), 0, sign)
    return bitcast(converted(made | sign, DType.UINT8), dtype)
