"""Constants, casts, elementwise operations and the dtype questions of rules."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lowering.ir.types import DType
from lowering.stablehlo.build.exponents import from_exponents, to_exponents
from lowering.stablehlo.build.truncate import truncated
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.hlo import chlo, stablehlo
from lowering.stablehlo.value import (
    Scalar,
    Shape,
    Value,
    array,
    binary,
    bitcast,
    broadcast,
    broadcast_in_dim,
    broadcast_shapes,
    compare,
    constant,
    converted,
    select,
)


def _unary(op: Callable) -> Callable[[Elementwise, Value], Value]:
    def apply(self: Elementwise, value: Value) -> Value:
        return Value(op(value.ir), value.shape)

    return apply


def _binary(op: Callable) -> Callable[[Elementwise, Value | Scalar, Value | Scalar], Value]:
    def apply(self: Elementwise, lhs: Value | Scalar, rhs: Value | Scalar) -> Value:
        return binary(op, lhs, rhs)

    return apply


class Elementwise:
    """Elementwise vocabulary. Operands share a dtype, shapes broadcast, scalars become constants."""

    abs = _unary(stablehlo.abs)
    ceil = _unary(stablehlo.ceil)
    floor = _unary(stablehlo.floor)
    round_even = _unary(stablehlo.round_nearest_even)
    sign = _unary(stablehlo.sign)
    exp = _unary(stablehlo.exponential)
    expm1 = _unary(stablehlo.exponential_minus_one)
    log = _unary(stablehlo.log)
    log1p = _unary(stablehlo.log_plus_one)
    sqrt = _unary(stablehlo.sqrt)
    rsqrt = _unary(stablehlo.rsqrt)
    cbrt = _unary(stablehlo.cbrt)
    sin = _unary(stablehlo.sine)
    cos = _unary(stablehlo.cosine)
    tan = _unary(stablehlo.tan)
    tanh = _unary(stablehlo.tanh)
    logistic = _unary(stablehlo.logistic)
    is_finite = _unary(stablehlo.is_finite)
    count_leading_zeros = _unary(stablehlo.count_leading_zeros)
    real = _unary(stablehlo.real)
    imag = _unary(stablehlo.imag)
    asin = _unary(chlo.asin)
    acos = _unary(chlo.acos)
    atan = _unary(chlo.atan)
    sinh = _unary(chlo.sinh)
    cosh = _unary(chlo.cosh)
    asinh = _unary(chlo.asinh)
    acosh = _unary(chlo.acosh)
    atanh = _unary(chlo.atanh)
    erf = _unary(chlo.erf)
    erfc = _unary(chlo.erfc)
    erf_inv = _unary(chlo.erf_inv)
    lgamma = _unary(chlo.lgamma)
    digamma = _unary(chlo.digamma)
    bessel_i1e = _unary(chlo.bessel_i1e)

    # NaN in either operand gives NaN, as torch.maximum and torch.minimum do.
    maximum = _binary(stablehlo.maximum)
    minimum = _binary(stablehlo.minimum)
    atan2 = _binary(stablehlo.atan2)
    # Sign of the dividend (C's fmod); integer division by zero is undefined, as in torch.
    remainder = _binary(stablehlo.remainder)
    shift_left = _binary(stablehlo.shift_left)
    shift_right_arithmetic = _binary(stablehlo.shift_right_arithmetic)
    shift_right_logical = _binary(stablehlo.shift_right_logical)
    complex = _binary(stablehlo.complex)
    next_after = _binary(chlo.next_after)
    zeta = _binary(chlo.zeta)
    polygamma = _binary(chlo.polygamma)

    def constant(self, value: Scalar, dtype: DType, shape: Shape = ()) -> Value:
        """A tensor full of one scalar, rounded to `dtype` once."""
        return constant(value, dtype, shape)

    def array(self, data: np.ndarray) -> Value:
        """A constant tensor holding these elements."""
        return array(data)

    def compare(self, lhs: Value | Scalar, rhs: Value | Scalar, direction: str) -> Value:
        """`EQ NE LT LE GT GE`, to bool."""
        return compare(lhs, rhs, direction)

    def is_nan(self, value: Value) -> Value:
        """Bool; False everywhere for types that have no NaN."""
        if value.dtype.is_complex:
            return self.is_nan(self.real(value)) | self.is_nan(self.imag(value))
        if not value.dtype.is_floating:
            return constant(False, DType.BOOL, value.shape)
        return compare(value, value, "NE")

    def select(self, predicate: Value, on_true: Value | Scalar, on_false: Value | Scalar) -> Value:
        """`predicate ? on_true : on_false`, all three broadcast; at least one branch is a Value."""
        return select(predicate, on_true, on_false)

    def clamp(self, low: Value | Scalar, value: Value, high: Value | Scalar) -> Value:
        """`min(max(value, low), high)`; NaN stays NaN."""
        return self.minimum(self.maximum(value, low), high)

    def convert(self, value: Value, dtype: DType) -> Value:
        """Cast as torch does: float to int truncates, anything to bool is `!= 0`, complex to real drops imag.

        NaN and what an integer type cannot hold become what they do in eager on x86 (`truncated`).
        float64 goes through float32 to what is smaller, which rounds twice.
        """
        source = value.dtype
        if source is dtype:
            return value
        if dtype is DType.BOOL:
            return compare(value, 0, "NE")
        if dtype is DType.COMPLEX32:
            raise Unsupported(f"StableHLO has no {dtype}")
        if source.is_complex and not dtype.is_complex:
            return self.convert(self.real(value), dtype)
        if dtype.is_complex and not source.is_complex:
            part = DType.FLOAT32 if dtype is DType.COMPLEX64 else DType.FLOAT64
            real = self.convert(value, part)
            return Value(stablehlo.complex(real.ir, constant(0, part, value.shape).ir), value.shape)
        if source.is_floating and dtype.is_integer:
            return truncated(value, dtype)
        if source is DType.FLOAT8_E8M0FNU:
            wide = DType.FLOAT64 if dtype is DType.FLOAT64 else DType.FLOAT32
            return converted(from_exponents(value, wide), dtype)
        if dtype is DType.FLOAT8_E8M0FNU:
            return to_exponents(converted(value, DType.FLOAT32))
        if source is DType.FLOAT64 and dtype.itemsize < 4:
            value = converted(value, DType.FLOAT32)
        return converted(value, dtype)

    def bitcast(self, value: Value, dtype: DType) -> Value:
        """Reinterpret the bits of a type of the same width."""
        return bitcast(value, dtype)

    def opaque(self, value: Value) -> Value:
        """The same value, rounded as it is: no compiler may see through it."""
        return Value(stablehlo.OptimizationBarrierOp([value.ir]).results[0], value.shape)

    def rounded(self, value: Value, dtype: DType) -> Value:
        """As `dtype` holds the value, in the value's own type: a rounding which compilers would leave out."""
        if value.dtype is dtype:
            return value
        return self.convert(self.opaque(self.convert(value, dtype)), value.dtype)

    def broadcast(self, value: Value | Scalar, shape: Shape, dtype: DType | None = None) -> Value:
        """Broadcast to `shape` as NumPy does; a scalar needs `dtype`."""
        if not isinstance(value, Value):
            assert dtype is not None
            return constant(value, dtype, shape)
        return broadcast(value, shape)

    def broadcast_in_dim(self, value: Value, shape: Shape, dims: tuple[int, ...]) -> Value:
        """Axis i of `value` becomes axis `dims[i]` of `shape`; axes of size 1 stretch."""
        return broadcast_in_dim(value, shape, dims)

    def broadcast_shapes(self, *shapes: Shape) -> Shape:
        return broadcast_shapes(*shapes)

    def compute_dtype(self, dtype: DType) -> DType:
        """Eager's dtype for an elementwise or accumulating operation of `dtype`: float32 for float16 and
        bfloat16."""
        return DType.FLOAT32 if dtype.is_half else dtype

    def accumulation_dtype(self, dtype: DType) -> DType:
        """Eager's dtype for running sums and variances: float64 for float32, float32 for halves."""
        return DType.FLOAT64 if dtype is DType.FLOAT32 else self.compute_dtype(dtype)

    def as_value(self, operand: Value | Scalar, dtype: DType) -> Value:
        """An operand cast to `dtype`: a Value converted, a Python scalar rounded once."""
        return self.convert(operand, dtype) if isinstance(operand, Value) else constant(operand, dtype)

    def pointwise(
        self, fn: Callable[..., Value], *operands: Value | Scalar, out: DType, compute: DType | None = None
    ) -> Value:
        """Run an elementwise `fn` as eager does: every operand (scalars included) is cast to the compute
        type, `fn` runs in it, and the result is rounded once to `out`.

        `compute` defaults to `compute_dtype(out)`. Operands broadcast to a common shape.
        """
        compute = compute or self.compute_dtype(out)
        shape = broadcast_shapes(*(o.shape for o in operands if isinstance(o, Value)))
        values = [broadcast(self.as_value(operand, compute), shape) for operand in operands]
        return self.convert(fn(*values), out)

    def result_type(self, *operands: Value | Scalar) -> DType:
        """torch.result_type: tensors with axes outrank 0-d tensors, which outrank Python scalars, within a
        category (bool < integer < floating < complex)."""
        groups: list[list[DType]] = [[], [], []]
        for operand in operands:
            if not isinstance(operand, Value):
                groups[2].append(_SCALAR_TYPES[operand.__class__])
            else:
                groups[0 if operand.rank else 1].append(operand.dtype)
        best: DType | None = None
        for group in groups:
            if not group:
                continue
            candidate = group[0]
            for dtype in group[1:]:
                candidate = promote(candidate, dtype)
            if best is None:
                best = candidate
            elif _category(candidate) > _category(best):
                best = _lift(best, candidate)
        assert best is not None, "result_type of nothing"
        return best


# Python scalars by torch's default dtype of 32 bits.
_SCALAR_TYPES = {
    bool: DType.BOOL,
    int: DType.INT64,
    float: DType.FLOAT32,
    complex: DType.COMPLEX64,
}


def _category(dtype: DType) -> int:
    if dtype is DType.BOOL:
        return 0
    return 1 if dtype.is_integer else 2 if dtype.is_floating else 3


def _lift(dtype: DType, higher: DType) -> DType:
    """The dtype when one of a higher category but lower priority joins: complex keeps float64's width."""
    if higher.is_complex and dtype is DType.FLOAT64:
        return DType.COMPLEX128
    return higher


def promote(a: DType, b: DType) -> DType:
    """torch.promote_types."""
    if a is b:
        return a
    if _category(a) > _category(b):
        a, b = b, a
    if _category(a) < _category(b):
        if b.is_complex and a is DType.FLOAT64:
            return DType.COMPLEX128
        return b
    if a.is_complex:
        order = [DType.COMPLEX32, DType.COMPLEX64, DType.COMPLEX128]
        return max(a, b, key=order.index)
    if a.is_floating:
        # float16 with bfloat16 is float32; otherwise the wider one.
        return DType.FLOAT32 if a.itemsize == b.itemsize else max(a, b, key=lambda t: t.itemsize)
    if a.is_signed == b.is_signed:
        return max(a, b, key=lambda t: t.itemsize)
    signed, unsigned = (a, b) if a.is_signed else (b, a)
    if signed.itemsize > unsigned.itemsize:
        return signed
    if unsigned is DType.UINT8:
        return DType.INT16
    raise TypeError(f"torch does not promote {a} with {b}")
