"""Floating-point numbers to integers, as eager converts them on x86.

C leaves open what becomes of NaN and of what an integer type cannot hold. Eager's kernels convert by the
processor's instruction, whose answer is then the least integer, and keep the low bits where the type is
narrower than that of the instruction. StableHLO leaves it to the implementation.
"""

from __future__ import annotations

from lowering.ir.types import DType
from lowering.stablehlo.build.exponents import from_exponents
from lowering.stablehlo.hlo import stablehlo
from lowering.stablehlo.value import Value, bitcast, compare, converted, select

# The type to which eager converts float64 first. Its vector kernels for uint32 differ from its scalar ones,
# which are these (docs/reference/differences.md).
_FIRST = {
    DType.INT8: DType.INT32,
    DType.INT16: DType.INT32,
    DType.INT32: DType.INT32,
    DType.UINT16: DType.INT32,
    DType.UINT8: DType.INT64,
    DType.UINT32: DType.INT64,
    DType.INT64: DType.INT64,
}
_TOP = 2**63
# Whose NaN eager makes 0: its compiler, which folds the decoding of these, leaves out the instruction.
_NAN_IS_ZERO = (DType.FLOAT8_E4M3FNUZ, DType.FLOAT8_E5M2FNUZ, DType.FLOAT8_E8M0FNU)


def truncated(value: Value, dtype: DType) -> Value:
    """A floating-point tensor as integers, rounded towards zero.

    A number that eager's first type cannot hold, NaN included, becomes the least number of that type.
    """
    source = value.dtype
    if source is DType.FLOAT8_E8M0FNU:
        value = from_exponents(value, DType.FLOAT32)
    elif source is not DType.FLOAT64:
        value = converted(value, DType.FLOAT32)
    if source in _NAN_IS_ZERO:
        value = select(compare(value, value, "NE"), 0.0, value)
    if dtype is DType.UINT64:
        return _to_uint64(value)
    first = _FIRST[dtype]
    if dtype is DType.UINT8 and value.dtype is DType.FLOAT32:
        first = DType.INT32  # the low bits of larger numbers are zeros in float32: the same, and faster
    return converted(_signed(value, first), dtype)


def _to_uint64(value: Value) -> Value:
    """Eager takes the top bit off before it converts, and puts it back after."""
    upper = compare(value, float(_TOP), "GE")
    whole = _signed(select(upper, value - float(_TOP), value), DType.INT64)
    whole = select(upper, whole ^ -_TOP, whole)
    return bitcast(whole, DType.UINT64)


def _signed(value: Value, dtype: DType) -> Value:
    limit = 2 ** (8 * dtype.itemsize - 1)
    held = compare(Value(stablehlo.abs(value.ir), value.shape), float(limit), "LT")
    return select(held, converted(value, dtype), -limit)
