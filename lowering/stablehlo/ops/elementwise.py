"""Arithmetic, comparisons and logic of two tensors, element by element.

Exported programs pass Python scalars where a schema says Tensor, so every operand may be one.
"""

from __future__ import annotations

from collections.abc import Callable

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.data_number import is_data_number
from lowering.stablehlo.ops.bits import is_negative
from lowering.stablehlo.ops.unary import trunc
from lowering.stablehlo.registry import add_rules, lowers
from lowering.stablehlo.value import Scalar, Value

Operand = Value | Scalar
Function = Callable[[Context, Value, Value], Value]


def narrowed(
    cx: Context, fn: Callable[..., Value], *operands: Operand, compute: DType | None = None
) -> Value:
    """Most of eager's half kernels see scalars and 0-d operands already rounded to the common type.

    The common type is that of the result, except where a tensor of a wider type is written into another.
    """
    out = common = cx.out.dtype
    if out.is_floating:
        found = cx.result_type(*operands)
        common = found if found.is_floating else out
    values = (cx.as_value(item, common) for item in operands)
    return cx.pointwise(fn, *values, out=out, compute=compute or cx.compute_dtype(common))


def scaled_sum(cx: Context, a: Operand, b: Operand, alpha: Scalar, sign: int) -> Value:
    """`a + sign * alpha * b`; bool has `or` for a sum, and StableHLO's bool addition is that.

    Eager's half kernels see scalars, `alpha` included, rounded to the common type.
    """
    if not is_data_number(alpha) and alpha == 1:
        return narrowed(cx, lambda x, y: x + y if sign > 0 else x - y, a, b)
    return narrowed(cx, lambda x, y, k: x + k * y, a, b, sign * alpha)


@lowers("aten.add.Tensor", "aten.add.Scalar")
def add(cx: Context, self: Operand, other: Operand, alpha: Scalar) -> Value:
    return scaled_sum(cx, self, other, alpha, 1)


@lowers("aten.sub.Tensor", "aten.sub.Scalar", "aten.subtract.Tensor", "aten.subtract.Scalar")
def sub(cx: Context, self: Operand, other: Operand, alpha: Scalar) -> Value:
    return scaled_sum(cx, self, other, alpha, -1)


@lowers("aten.rsub.Tensor", "aten.rsub.Scalar")
def rsub(cx: Context, self: Operand, other: Operand, alpha: Scalar) -> Value:
    return scaled_sum(cx, other, self, alpha, -1)


@lowers("aten._add_relu.Tensor", "aten._add_relu.Scalar")
def add_relu(cx: Context, self: Operand, other: Operand, alpha: Scalar) -> Value:
    return cx.maximum(scaled_sum(cx, self, other, alpha, 1), 0)


@lowers("aten.mul.Tensor", "aten.mul.Scalar", "aten.multiply.Tensor", "aten.multiply.Scalar")
def mul(cx: Context, self: Operand, other: Operand) -> Value:
    first = cx.as_value(self, cx.out.dtype)
    return cx.pointwise(lambda x, y: x * y, first, other, out=cx.out.dtype)


def _floor_integers(cx: Context, a: Value, b: Value) -> Value:
    quotient = a / cx.divisor(b)
    if not a.dtype.is_signed:
        return quotient
    inexact = cx.remainder(a, b) != 0
    return quotient - cx.convert(inexact & ((a < 0) != (b < 0)), a.dtype)


def floor_quotient(cx: Context, a: Value, b: Value) -> Value:
    """floor(a / b) that agrees with `remainder`: a / b itself may round up to the next integer."""
    if a.dtype.is_integer:
        return _floor_integers(cx, a, b)
    rest = cx.remainder(a, b)
    quotient = (a - rest) / b
    quotient = cx.select((rest != 0) & ((b < 0) != (rest < 0)), quotient - 1, quotient)
    whole = cx.floor(quotient)
    whole = cx.select(quotient - whole > 0.5, whole + 1, whole)
    whole = cx.select(quotient != 0, whole, copy_sign(cx, whole * 0, a / b))
    return cx.select(b == 0, a / b, whole)


def trunc_quotient(cx: Context, a: Value, b: Value) -> Value:
    """The quotient must be the correctly rounded one: 3 / 0.3 is 10, 3 * (1 / 0.3) may be 9.999999."""
    return a / cx.divisor(b) if a.dtype.is_integer else trunc(cx, a / b)


@lowers("aten.div.Tensor_mode", "aten.div.Scalar_mode", "aten.divide.Tensor_mode", "aten.divide.Scalar_mode")
def div_mode(cx: Context, self: Operand, other: Operand, rounding_mode: str | None) -> Value:
    """A scalar or 0-d divisor is not narrowed. Of other half tensors, eager rounds the quotient before it
    rounds it to an integer."""
    out = cx.out.dtype
    first = cx.as_value(self, out)
    if rounding_mode is None:
        return cx.pointwise(lambda x, y: x / y, first, other, out=out)
    rounded = floor_quotient if rounding_mode == "floor" else trunc_quotient
    stepwise = isinstance(other, Value) and other.rank > 0
    return cx.pointwise(
        lambda x, y: rounded(cx, x, y), first, other, out=out, compute=out if stepwise else None
    )


@lowers(
    *(f"aten.{name}.{kind}" for name in ("div", "divide", "true_divide") for kind in ("Tensor", "Scalar"))
)
def div(cx: Context, self: Operand, other: Operand) -> Value:
    return div_mode(cx, self, other, None)


@lowers("aten.floor_divide.default", "aten.floor_divide.Scalar")
def floor_divide(cx: Context, self: Operand, other: Operand) -> Value:
    return div_mode(cx, self, other, "floor")


def fmod(cx: Context, a: Value, b: Value) -> Value:
    """The remainder with the dividend's sign, as C's %."""
    return cx.remainder(a, cx.divisor(b))


def modulus(cx: Context, a: Value, b: Value) -> Value:
    """The remainder with the divisor's sign, as Python's %."""
    rest = fmod(cx, a, b)
    return cx.select((rest != 0) & ((b < 0) != (rest < 0)), rest + b, rest)


def copy_sign(cx: Context, a: Value, b: Value) -> Value:
    size = cx.abs(a)
    return cx.select(is_negative(cx, b), -size, size)


def fmax(cx: Context, a: Value, b: Value) -> Value:
    """The other operand where one is NaN."""
    return cx.select(cx.is_nan(a), b, cx.select(cx.is_nan(b), a, cx.maximum(a, b)))


def fmin(cx: Context, a: Value, b: Value) -> Value:
    return cx.select(cx.is_nan(a), b, cx.select(cx.is_nan(b), a, cx.minimum(a, b)))


def hypot(cx: Context, a: Value, b: Value) -> Value:
    """Scaled by the larger side, so that squares neither overflow nor vanish.

    An infinite side outdoes NaN, as in C99.
    """
    a, b = cx.abs(a), cx.abs(b)
    long, short = cx.maximum(a, b), cx.minimum(a, b)
    ratio = short / cx.select(long == 0, 1, long)
    size = long * cx.sqrt(1 + ratio * ratio)
    infinite = (a == float("inf")) | (b == float("inf"))
    return cx.select(infinite, float("inf"), size)


def log_add_exp(cx: Context, a: Value, b: Value) -> Value:
    """log(exp(a) + exp(b)), around the larger one; equal infinities stay what they are."""
    if a.dtype.is_complex:
        return _complex_log_add_exp(cx, a, b)
    larger = cx.maximum(a, b)
    return cx.select((a == b) & ~cx.is_finite(a), a, larger + cx.log1p(cx.exp(-cx.abs(a - b))))


def _complex_log_add_exp(cx: Context, a: Value, b: Value) -> Value:
    """Around the one with the larger real part; two that vanish give the second one, NaN all of NaN."""
    real_a, real_b = cx.real(a), cx.real(b)
    second = real_a < real_b
    low, high = cx.select(second, a, b), cx.select(second, b, a)
    near = cx.log1p(cx.exp(low - high)) + high
    endless = (real_a == real_b) & ~cx.is_finite(real_a)
    value = cx.select(endless, cx.select(real_a < 0, b, cx.log(cx.exp(a) + cx.exp(b))), near)
    return cx.select(cx.is_nan(a) | cx.is_nan(b), complex("nan+nanj"), value)


def log_add_exp2(cx: Context, a: Value, b: Value) -> Value:
    ln2 = 0.6931471805599453
    larger = cx.maximum(a, b)
    total = larger + cx.log1p(cx.exp(-cx.abs(a - b) * ln2)) * (1 / ln2)
    return cx.select((a == b) & ~cx.is_finite(a), a, total)


def xlogy(cx: Context, x: Value, y: Value) -> Value:
    return cx.select(cx.is_nan(y), y, cx.select(x == 0, 0, x * cx.log(y)))


def xlog1py(cx: Context, x: Value, y: Value) -> Value:
    return cx.select(cx.is_nan(y), y, cx.select(x == 0, 0, x * cx.log1p(y)))


def gcd(cx: Context, a: Value, b: Value) -> Value:
    """Euclid's algorithm on all elements until every one is done."""
    if a.dtype.is_signed:
        a, b = cx.abs(a), cx.abs(b)
    return cx.while_loop(
        (a, b),
        lambda x, y: cx.reduce_or(y != 0),
        lambda x, y: (
            cx.select(y == 0, x, y),
            cx.select(y == 0, 0, cx.remainder(x, cx.select(y == 0, 1, y))),
        ),
    )[0]


def lcm(cx: Context, a: Value, b: Value) -> Value:
    """C's arithmetic on smaller types is that of int32: the absolute value is taken before low bits are."""
    divisor = gcd(cx, a, b)
    wide = DType.INT32 if a.dtype.itemsize < 4 else a.dtype
    left, right = cx.convert(a, wide), cx.convert(b, wide)
    product = left / cx.convert(cx.select(divisor == 0, 1, divisor), wide) * right
    return cx.convert(cx.abs(product), a.dtype)


def _shift_bits(a: Value) -> int:
    return 8 * a.dtype.itemsize


def left_shift(cx: Context, a: Value, by: Value) -> Value:
    """Shifts by less than 0 or by all bits give 0, as in torch."""
    inside = (by >= 0) & (by < _shift_bits(a))
    return cx.select(inside, cx.shift_left(a, cx.select(inside, by, 0)), 0)


def right_shift(cx: Context, a: Value, by: Value) -> Value:
    """Arithmetic for signed types; shifts by less than 0 or by all bits leave only the sign."""
    inside = (by >= 0) & (by < _shift_bits(a))
    if not a.dtype.is_signed:
        return cx.select(inside, cx.shift_right_logical(a, cx.select(inside, by, 0)), 0)
    return cx.shift_right_arithmetic(a, cx.select(inside, by, _shift_bits(a) - 1))


BINARY: dict[str, Function] = {
    "__and__": lambda cx, a, b: a & b,
    "__or__": lambda cx, a, b: a | b,
    "__xor__": lambda cx, a, b: a ^ b,
    "__lshift__": left_shift,
    "__rshift__": right_shift,
    "arctan2": Context.atan2,
    "atan2": Context.atan2,
    "bitwise_and": lambda cx, a, b: a & b,
    "bitwise_left_shift": left_shift,
    "bitwise_or": lambda cx, a, b: a | b,
    "bitwise_right_shift": right_shift,
    "bitwise_xor": lambda cx, a, b: a ^ b,
    "copysign": copy_sign,
    "fmax": fmax,
    "fmin": fmin,
    "fmod": fmod,
    "gcd": gcd,
    "hypot": hypot,
    "lcm": lcm,
    "logaddexp": log_add_exp,
    "logaddexp2": log_add_exp2,
    "maximum": Context.maximum,
    "minimum": Context.minimum,
    "remainder": modulus,
    "special_xlog1py": xlog1py,
    "special_xlogy": xlogy,
    "xlogy": xlogy,
}

# Overloads besides `default`, which most have; all of them name their operands self and other.
_SCALARS = ("Tensor", "Scalar", "Scalar_Tensor")
OVERLOADS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("__and__", "__or__", "__xor__", "__lshift__", "__rshift__"), ("Tensor", "Scalar")),
    **dict.fromkeys(("bitwise_and", "bitwise_or", "bitwise_xor", "remainder"), _SCALARS),
    **dict.fromkeys(
        ("bitwise_left_shift", "bitwise_right_shift"), ("Tensor", "Tensor_Scalar", "Scalar_Tensor")
    ),
    **dict.fromkeys(("copysign", "fmod"), ("Tensor", "Scalar")),
    "special_xlog1py": ("default", "other_scalar", "self_scalar"),
    "special_xlogy": ("default", "other_scalar", "self_scalar"),
    "xlogy": ("Tensor", "Scalar_Other", "Scalar_Self"),
}

# Direction -> torch's names.
COMPARISONS = {
    "EQ": ("eq",),
    "NE": ("ne", "not_equal"),
    "LT": ("lt", "less"),
    "LE": ("le", "less_equal"),
    "GT": ("gt", "greater"),
    "GE": ("ge", "greater_equal"),
}


# Eager's half kernels of these round each step: the logarithm before it is multiplied.
_STEPWISE = frozenset((xlogy, xlog1py))


def _binary(fn: Function) -> Callable[..., Value]:
    def rule(cx: Context, self: Operand, other: Operand) -> Value:
        compute = cx.out.dtype if fn in _STEPWISE else None
        return narrowed(cx, lambda a, b: fn(cx, a, b), self, other, compute=compute)

    return rule


def _comparison(direction: str) -> Callable[..., Value]:
    def rule(cx: Context, self: Operand, other: Operand) -> Value:
        common = cx.result_type(self, other)
        return cx.pointwise(
            lambda a, b: cx.compare(a, b, direction), self, other, out=DType.BOOL, compute=common
        )

    return rule


add_rules(
    (f"aten.{name}.{overload}", _binary(fn))
    for name, fn in BINARY.items()
    for overload in OVERLOADS.get(name, ("default",))
)
add_rules(
    (f"aten.{name}.{overload}", _comparison(direction))
    for direction, names in COMPARISONS.items()
    for name in names
    for overload in ("Tensor", "Scalar")
)


@lowers("aten.heaviside.default")
def heaviside(cx: Context, self: Value, values: Value) -> Value:
    """`values` at 0; 0 for NaN."""
    return narrowed(cx, lambda x, v: cx.select(x == 0, v, cx.convert(x > 0, x.dtype)), self, values)


@lowers("aten.nextafter.default")
def next_after(cx: Context, self: Value, other: Value) -> Value:
    """In the tensor's own type: the next float32 is not the next bfloat16."""
    return cx.pointwise(cx.next_after, self, other, out=cx.out.dtype, compute=cx.out.dtype)


def _logical(fn: Callable[[Value, Value], Value]) -> Callable[..., Value]:
    def rule(cx: Context, self: Value, other: Value) -> Value:
        return fn(cx.convert(self, DType.BOOL), cx.convert(other, DType.BOOL))

    return rule


add_rules(
    (
        ("aten.logical_and.default", _logical(lambda a, b: a & b)),
        ("aten.logical_or.default", _logical(lambda a, b: a | b)),
        ("aten.logical_xor.default", _logical(lambda a, b: a ^ b)),
    )
)


@lowers("aten.isclose.default")
def isclose(cx: Context, self: Value, other: Value, rtol: float, atol: float, equal_nan: bool) -> Value:
    common = cx.result_type(self, other)
    a, b = cx.as_value(self, common), cx.as_value(other, common)
    close = a == b
    if equal_nan and not common.is_integer:
        close = close | (cx.is_nan(a) & cx.is_nan(b))
    if (rtol == 0 and atol == 0) or common is DType.BOOL:
        return close
    floating = common if not common.is_integer else DType.FLOAT32
    error = cx.abs(cx.convert(a - b, floating))
    allowed = cx.abs(cx.convert(b, floating) * rtol) + atol
    return close | (cx.is_finite(error) & (error <= allowed))
