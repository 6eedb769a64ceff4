"""Floating-point numbers to integers, as eager converts them on x86.

C leaves open what becomes of NaN and of what an integer type cannot hold. Eager's kernels convert by the
processor's instruction, whose answer is then the least integer, and keep the low bits where the type is
narrower than that of the instruction. StableHLO leaves it to the implementation.
"""

from __future__ import annotations

from lowering.ir.types import DType
from lowering.stablehlo.hlo import stablehlo
from lowering.stablehlo.value import Scalar, Value, broadcast, compare, constant, tensor_type

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


def truncated(value: Value, dtype: DType) -> Value:
    """A floating-point tensor as integers, rounded towards zero.

    A number that eager's first type cannot hold, NaN included, becomes the least number of that type.
    """
    if value.dtype is not DType.FLOAT64:
        value = _converted(value, DType.FLOAT32)
    if dtype is DType.UINT64:
        return _to_uint64(value)
    first = _FIRST[dtype]
    if dtype is DType.UINT8 and value.dtype is DType.FLOAT32:
        first = DType.INT32  # the low bits of larger numbers are zeros in float32: the same, and faster
    return _converted(_signed(value, first), dtype)


def _to_uint64(value: Value) -> Value:
    """Eager takes the top bit off before it converts, and puts it back after."""
    upper = compare(value, float(_TOP), "GE")
    whole = _signed(_select(upper, value - float(_TOP), value), DType.INT64)
    whole = _select(upper, whole ^ -_TOP, whole)
    return Value(stablehlo.bitcast_convert(tensor_type(DType.UINT64, value.shape), whole.ir))


def _signed(value: Value, dtype: DType) -> Value:
    limit = 2 ** (8 * dtype.itemsize - 1)
    held = compare(Value(stablehlo.abs(value.ir)), float(limit), "LT")
    return _select(held, _converted(value, dtype), -limit)


def _converted(value: Value, dtype: DType) -> Value:
    if value.dtype is dtype:
        return value
    return Value(stablehlo.convert(tensor_type(dtype, value.shape), value.ir))


def _select(predicate: Value, on_true: Value, on_false: Value | Scalar) -> Value:
    if not isinstance(on_false, Value):
        on_false = constant(on_false, on_true.dtype)
    other = broadcast(on_false, on_true.shape)
    return Value(stablehlo.select(predicate.ir, on_true.ir, other.ir))
