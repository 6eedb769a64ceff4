"""Powers."""

from __future__ import annotations

import numpy as np

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.ops.bits import power_of_two
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.value import Scalar, Value, numpy_dtype


def integer_power(cx: Context, base: Value, exponent: int) -> Value:
    """Repeated squaring; overflow wraps around, as in torch."""
    result = cx.constant(1, base.dtype, base.shape)
    while exponent:
        if exponent & 1:
            result = result * base
        exponent >>= 1
        base = base * base if exponent else base
    return result


def _power(cx: Context, x: Value, exponent: Scalar) -> Value:
    """Exponents for which eager multiplies or takes roots do so here: (-inf) ** 0.5 is NaN there too."""
    match exponent:
        case 0:
            return cx.constant(1, x.dtype, x.shape)
        case 1:
            return x
        case 2:
            return x * x
        case 3:
            return x * x * x
        case -1:
            return 1 / x
        case -2:
            return 1 / (x * x)
        case 0.5:
            return cx.sqrt(x)
        case -0.5:
            return 1 / cx.sqrt(x)
    return x ** cx.constant(exponent, x.dtype, x.shape)


@lowers("aten.pow.Tensor_Scalar")
def pow_scalar(cx: Context, self: Value, exponent: Scalar) -> Value:
    out = cx.out.dtype
    if out is DType.BOOL:
        raise Unsupported("powers of bool are not lowered")
    if out.is_integer:
        if exponent < 0:  # pyright: ignore[reportOperatorIssue]
            raise Unsupported("integers to negative powers are an error in torch")
        return integer_power(cx, cx.convert(self, out), int(exponent))  # pyright: ignore[reportArgumentType]
    if out.is_half:
        exponent = float(np.asarray(exponent).astype(numpy_dtype(out)))

    def fn(x: Value) -> Value:
        if out is DType.FLOAT16 and abs(exponent) == 0.5:
            # Eager has no root for this type; C's power of -0 and of -inf has no sign.
            x = cx.select((x == 0) | (x == float("-inf")), cx.abs(x), x)
        return _power(cx, x, exponent)

    # Eager's kernel for bfloat16 rounds each product.
    stepwise = out is DType.BFLOAT16 and exponent in (3, -2)
    return cx.pointwise(fn, self, out=out, compute=out if stepwise else None)


@lowers("aten.pow.Tensor_Tensor", "aten.pow.Scalar")
def pow_tensor(cx: Context, self: Value | Scalar, exponent: Value | Scalar) -> Value:
    out = cx.out.dtype
    if not isinstance(exponent, Value):
        assert isinstance(self, Value)
        return pow_scalar(cx, self, exponent)
    if out is DType.BOOL:
        raise Unsupported("powers of bool are not lowered")
    if out.is_integer:
        base, power = cx.as_value(self, out), cx.as_value(exponent, out)
        return _integer_tensor_power(cx, *(cx.broadcast(v, cx.out.shape) for v in (base, power)))
    base, power = cx.as_value(self, out), cx.as_value(exponent, out)
    return cx.pointwise(lambda x, y: x**y, base, power, out=out)


def _integer_tensor_power(cx: Context, base: Value, exponent: Value) -> Value:
    """Squaring until no exponent has bits left. Of negative powers, 1 and -1 have one, others 0."""
    one = cx.constant(1, base.dtype, base.shape)
    left = cx.maximum(exponent, 0)
    power, _, _ = cx.while_loop(
        (one, base, left),
        lambda result, square, bits: cx.reduce_or(bits != 0),
        lambda result, square, bits: (
            cx.select((bits & 1) != 0, result * square, result),
            square * square,
            cx.shift_right_logical(bits, 1),
        ),
    )
    if not exponent.dtype.is_signed:
        return power
    odd = (exponent & 1) != 0
    inverse = cx.select(base == 1, 1, cx.select(base == -1, cx.select(odd, -one, one), 0))
    return cx.select(exponent < 0, inverse, power)


@lowers("aten.float_power.Tensor_Scalar", "aten.float_power.Tensor_Tensor", "aten.float_power.Scalar")
def float_power(cx: Context, self: Value | Scalar, exponent: Value | Scalar) -> Value:
    """In float64 or complex128, for any operands."""
    out = cx.out.dtype
    if not isinstance(exponent, Value):
        assert isinstance(self, Value)
        return _power(cx, cx.convert(self, out), exponent)
    return cx.pointwise(lambda x, y: x**y, self, exponent, out=out)


@lowers("aten.ldexp.Tensor")
def ldexp(cx: Context, self: Value, other: Value) -> Value:
    """self * 2 ** other, where both are rounded; C's ldexp of a floating number and an integer.

    The power is float32 for integers beside others, and of the first operand's precision where the exponent
    is a single number that has less than it, as in torch.
    """
    if self.dtype.is_floating and other.dtype.is_integer:
        return cx.pointwise(lambda x: _scaled(cx, x, other), self, out=cx.out.dtype)
    keeps = other.dtype.is_floating or other.dtype.is_complex
    floating = other.dtype if keeps else DType.FLOAT32
    if not other.rank and other.dtype.is_floating and self.dtype in _PRECISIONS:
        floating = _PRECISIONS[self.dtype]
    power = cx.pointwise(lambda n: cx.constant(2.0, n.dtype, n.shape) ** n, other, out=floating)
    return cx.pointwise(lambda x, y: x * y, self, power, out=cx.out.dtype)


# Of the first operands that decide the precision of a power that is a single number.
_PRECISIONS = {
    DType.FLOAT64: DType.FLOAT64,
    DType.COMPLEX64: DType.FLOAT32,
    DType.COMPLEX128: DType.FLOAT64,
}


def _scaled(cx: Context, x: Value, exponent: Value) -> Value:
    """x * 2 ** exponent without a power that overflows. The exponent is an int in C, so that it wraps."""
    info = np.finfo(numpy_dtype(x.dtype))
    most = 3 * int(info.maxexp) - 3
    left = cx.clamp(-most, cx.convert(exponent, DType.INT32), most)
    # Three steps, from the least number to the largest. None goes beyond the normal exponents.
    for step in (3, 2, 1):
        part = left / step
        x = x * power_of_two(cx, cx.convert(part, x.dtype))
        left = left - part
    return x
