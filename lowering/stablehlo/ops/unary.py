"""Functions of one tensor, element by element."""

from __future__ import annotations

from collections.abc import Callable
from math import log, pi

import numpy as np

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.ops.bits import bits_of, is_negative, power_of_two
from lowering.stablehlo.registry import add_rules, lowers
from lowering.stablehlo.value import Scalar, Value, numpy_dtype

Function = Callable[[Context, Value], Value]


def trunc(cx: Context, x: Value) -> Value:
    """Towards zero, keeping the sign of zero."""
    return cx.select(x < 0, cx.ceil(x), cx.floor(x))


def log2(cx: Context, x: Value) -> Value:
    """Exact at powers of two, as eager's: log(8) / log(2) alone may be 2.9999998 in float32."""
    result = cx.log(x) * (1 / log(2))
    if x.dtype.is_complex:
        return result
    digits = int(np.finfo(numpy_dtype(x.dtype)).nmant)
    bits = bits_of(cx, x)
    bias = (1 << 8 * x.dtype.itemsize - 2 - digits) - 1
    exponent = cx.shift_right_logical(bits, digits) - bias
    exact = (x > 0) & cx.is_finite(x) & (exponent > -bias) & ((bits & (1 << digits) - 1) == 0)
    return cx.select(exact, cx.convert(exponent, x.dtype), result)


def log10(cx: Context, x: Value) -> Value:
    return cx.log(x) * (1 / log(10))


def exp2(cx: Context, x: Value) -> Value:
    """exp(x ln 2) would lose x's integer part in digits: split it off and scale by that power of two."""
    if x.dtype.is_complex:
        return cx.exp(x * log(2))
    info = np.finfo(numpy_dtype(x.dtype))
    bounded = cx.clamp(float(2 * info.minexp), x, float(2 * info.maxexp))
    whole = cx.round_even(bounded)
    scaled = cx.exp((bounded - whole) * log(2))
    # Two steps, so that subnormal results and the largest exponents are reached.
    half = cx.floor(whole * 0.5)
    return scaled * power_of_two(cx, half) * power_of_two(cx, whole - half)


def _beside_cut(fn: Function, like: str, opposite: bool = False) -> Function:
    """A function of complex numbers on the side of its cut that the sign of a zero says.

    `like`: the part of the argument whose sign the same part of the result has, or the opposite one.
    """

    def apply(cx: Context, x: Value) -> Value:
        result = fn(cx, x)
        if not x.dtype.is_complex:
            return result
        part = cx.real if like == "real" else cx.imag
        size, below = cx.abs(part(result)), is_negative(cx, part(x))
        signed = cx.select(below, size, -size) if opposite else cx.select(below, -size, size)
        return cx.complex(signed, cx.imag(result)) if like == "real" else cx.complex(cx.real(result), signed)

    return apply


def sinc(cx: Context, x: Value) -> Value:
    angle = x * pi
    zero = x == 0
    return cx.select(zero, 1, cx.sin(angle) / cx.select(zero, 1, angle))


def reciprocal(cx: Context, x: Value) -> Value:
    return 1 / x


def rsqrt(cx: Context, x: Value) -> Value:
    """Eager divides, where `stablehlo.rsqrt` may be an estimate."""
    return 1 / cx.sqrt(x)


def half_exp(cx: Context, x: Value) -> Value:
    """exp(x) / 2, from exp(x / 2) so that it overflows where cosh does, not before."""
    root = cx.exp(x * 0.5)
    return 0.5 * root * root


def cosh(cx: Context, x: Value) -> Value:
    """CHLO's exp(x - log(2)) loses 1.4e-6 at 88 in float32."""
    if x.dtype.is_complex:
        return cx.cosh(x)
    half = half_exp(cx, cx.abs(x))
    return half + 0.25 / half


def sinh(cx: Context, x: Value) -> Value:
    if x.dtype.is_complex:
        return cx.sinh(x)
    size = cx.abs(x)
    half = half_exp(cx, size)
    # Near 0 the two exponentials would cancel.
    small = cx.expm1(cx.minimum(size, 1.0))
    result = cx.select(size < 1, 0.5 * (small + small / (small + 1)), half - 0.25 / half)
    return cx.select(is_negative(cx, x), -result, result)


def sign(cx: Context, x: Value) -> Value:
    """NaN has no sign in torch: it gives 0."""
    if x.dtype.is_complex:
        size = cx.abs(x)
        zero = size == 0
        return cx.select(zero, 0, x / cx.convert(cx.select(zero, 1, size), x.dtype))
    if not x.dtype.is_signed:
        return x if x.dtype is DType.BOOL else cx.convert(x > 0, x.dtype)
    return cx.convert(x > 0, x.dtype) - cx.convert(x < 0, x.dtype)


def digamma(cx: Context, x: Value) -> Value:
    """At 0 the infinity of the side that the sign of the zero says; CHLO says NaN."""
    return cx.select(x == 0, -1 / x, cx.digamma(x))


# Results of a floating (or complex) type; integers are converted first.
FLOATING: dict[str, Function] = {
    "acos": _beside_cut(Context.acos, "imag", opposite=True),
    "acosh": _beside_cut(Context.acosh, "imag"),
    "asin": _beside_cut(Context.asin, "imag"),
    "asinh": _beside_cut(Context.asinh, "real"),
    "atan": _beside_cut(Context.atan, "real"),
    "atanh": _beside_cut(Context.atanh, "imag"),
    "cos": Context.cos,
    "cosh": cosh,
    "deg2rad": lambda cx, x: x * (pi / 180),
    "digamma": digamma,
    "erf": Context.erf,
    "erfc": Context.erfc,
    "erfinv": Context.erf_inv,
    "exp": Context.exp,
    "exp2": exp2,
    "expm1": Context.expm1,
    "lgamma": Context.lgamma,
    "log": Context.log,
    "log10": log10,
    "log1p": Context.log1p,
    "log2": log2,
    "rad2deg": lambda cx, x: x * (180 / pi),
    "reciprocal": reciprocal,
    "rsqrt": rsqrt,
    "sigmoid": Context.logistic,
    "sin": Context.sin,
    "sinc": sinc,
    "sinh": sinh,
    "sqrt": _beside_cut(Context.sqrt, "imag"),
    "tan": Context.tan,
    "tanh": Context.tanh,
}

# Nothing to do for integers and bool.
ROUNDING: dict[str, Function] = {
    "ceil": Context.ceil,
    "fix": trunc,
    "floor": Context.floor,
    "frac": lambda cx, x: x - trunc(cx, x),
    "round": Context.round_even,
    "trunc": trunc,
}

# Computed in the operand's own type; the result has it too.
NATIVE: dict[str, Function] = {
    "bitwise_not": lambda cx, x: ~x,
    "neg": lambda cx, x: -x,
    "negative": lambda cx, x: -x,
    "positive": lambda cx, x: x,
    "sgn": sign,
    "sign": sign,
}

# torch's second names.
ALIASES = {
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctanh": "atanh",
    "special_digamma": "digamma",
    "special_erf": "erf",
    "special_erfc": "erfc",
    "special_erfinv": "erfinv",
    "special_exp2": "exp2",
    "special_expit": "sigmoid",
    "special_expm1": "expm1",
    "special_gammaln": "lgamma",
    "special_log1p": "log1p",
    "special_psi": "digamma",
    "special_sinc": "sinc",
}


def _floating(fn: Function) -> Callable[..., Value]:
    def rule(cx: Context, self: Value) -> Value:
        return cx.pointwise(lambda x: fn(cx, x), self, out=cx.out.dtype)

    return rule


def _rounding(fn: Function) -> Callable[..., Value]:
    def rule(cx: Context, self: Value) -> Value:
        return fn(cx, self) if self.dtype.is_floating else self

    return rule


def _native(fn: Function) -> Callable[..., Value]:
    def rule(cx: Context, self: Value) -> Value:
        return fn(cx, self)

    return rule


add_rules((f"aten.{name}.default", _floating(fn)) for name, fn in FLOATING.items())
add_rules((f"aten.{alias}.default", _floating(FLOATING[name])) for alias, name in ALIASES.items())
add_rules((f"aten.{name}.default", _rounding(fn)) for name, fn in ROUNDING.items())
add_rules((f"aten.{name}.default", _native(fn)) for name, fn in NATIVE.items())


@lowers("aten.abs.default", "aten.absolute.default")
def absolute(cx: Context, self: Value) -> Value:
    if not (self.dtype.is_signed or self.dtype.is_complex):
        return self
    if self.dtype.is_complex:
        # C's hypot: infinite where a part is, even beside NaN.
        endless = _is_infinite(cx, cx.real(self)) | _is_infinite(cx, cx.imag(self))
        return cx.select(endless, float("inf"), cx.abs(self))
    return cx.abs(self)


@lowers("aten.square.default")
def square(cx: Context, self: Value) -> Value:
    return cx.pointwise(lambda x: x * x, self, out=cx.out.dtype)


@lowers("aten.round.decimals", "aten.special_round.default")
def round_decimals(cx: Context, self: Value, decimals: int) -> Value:
    scale = 10.0 ** abs(decimals)

    def fn(x: Value) -> Value:
        return cx.round_even(x * scale) / scale if decimals > 0 else cx.round_even(x / scale) * scale

    return cx.pointwise(fn, self, out=cx.out.dtype)


@lowers("aten.logit.default", "aten.special_logit.default")
def logit(cx: Context, self: Value, eps: float | None) -> Value:
    """Eager's half kernel rounds the bounds, and the odds before it takes their logarithm."""
    x = cx.convert(self, cx.out.dtype)
    if eps is not None and eps >= 0:
        least = cx.constant(eps, x.dtype)
        x = cx.clamp(least, x, 1 - least)
    return cx.pointwise(cx.log, x / (1 - x), out=cx.out.dtype)


@lowers("aten.logical_not.default")
def logical_not(cx: Context, self: Value) -> Value:
    return ~cx.convert(self, DType.BOOL)


@lowers("aten.isnan.default")
def isnan(cx: Context, self: Value) -> Value:
    return cx.is_nan(self)


def _is_infinite(cx: Context, x: Value) -> Value:
    return ~cx.is_finite(x) & ~cx.is_nan(x)


@lowers("aten.isinf.default")
def isinf(cx: Context, self: Value) -> Value:
    if self.dtype.is_complex:
        return _is_infinite(cx, cx.real(self)) | _is_infinite(cx, cx.imag(self))
    if not self.dtype.is_floating:
        return cx.constant(False, DType.BOOL, self.shape)
    return _is_infinite(cx, self)


@lowers("aten.isfinite.default")
def isfinite(cx: Context, self: Value) -> Value:
    if self.dtype.is_complex:
        return cx.is_finite(cx.real(self)) & cx.is_finite(cx.imag(self))
    if not self.dtype.is_floating:
        return cx.constant(True, DType.BOOL, self.shape)
    return cx.is_finite(self)


@lowers("aten.isposinf.default")
def isposinf(cx: Context, self: Value) -> Value:
    return self == float("inf") if self.dtype.is_floating else cx.constant(False, DType.BOOL, self.shape)


@lowers("aten.isneginf.default")
def isneginf(cx: Context, self: Value) -> Value:
    return self == float("-inf") if self.dtype.is_floating else cx.constant(False, DType.BOOL, self.shape)


@lowers("aten.isreal.default")
def isreal(cx: Context, self: Value) -> Value:
    if self.dtype.is_complex:
        return cx.imag(self) == 0
    return cx.constant(True, DType.BOOL, self.shape)


@lowers("aten.signbit.default")
def signbit(cx: Context, self: Value) -> Value:
    if self.dtype.is_floating:
        return is_negative(cx, self)
    return self < 0 if self.dtype.is_signed else cx.constant(False, DType.BOOL, self.shape)


@lowers("aten.nan_to_num.default")
def nan_to_num(
    cx: Context, self: Value, nan: float | None, posinf: float | None, neginf: float | None
) -> Value:
    if self.dtype.is_complex:
        parts = (nan_to_num(cx, part, nan, posinf, neginf) for part in (cx.real(self), cx.imag(self)))
        return cx.complex(*parts)
    if not self.dtype.is_floating:
        return self
    largest: Scalar = float(_finfo(self.dtype).max)
    result = cx.select(cx.is_nan(self), 0.0 if nan is None else nan, self)
    result = cx.select(self == float("inf"), largest if posinf is None else posinf, result)
    return cx.select(self == float("-inf"), -largest if neginf is None else neginf, result)


def _finfo(dtype: DType) -> np.finfo:
    if dtype is DType.BFLOAT16:
        import ml_dtypes

        return ml_dtypes.finfo(ml_dtypes.bfloat16)  # pyright: ignore[reportReturnType]
    return np.finfo(numpy_dtype(dtype))


@lowers("aten.frexp.Tensor")
def frexp(cx: Context, self: Value) -> tuple[Value, Value]:
    """Mantissas in [0.5, 1) and int32 exponents; zero, infinities and NaN have exponent 0."""
    compute = cx.compute_dtype(self.dtype)
    x = cx.convert(self, compute)
    digits = int(np.finfo(numpy_dtype(compute)).nmant)
    bias = (1 << 8 * compute.itemsize - 2 - digits) - 1
    # Subnormals are scaled into the normal range first.
    tiny = cx.abs(x) < float(np.finfo(numpy_dtype(compute)).smallest_normal)
    bits = bits_of(cx, cx.select(tiny, x * 2.0 ** (digits + 1), x))
    field = cx.shift_right_logical(bits, digits) & 2 * bias + 1
    exponent = field - (bias - 1) - cx.select(tiny, bits * 0 + (digits + 1), bits * 0)
    keep = bits & ~((2 * bias + 1) << digits)
    mantissa = cx.bitcast(keep | (bias - 1) << digits, compute)
    plain = (x == 0) | ~cx.is_finite(x)
    exponent = cx.select(plain, 0, exponent)
    return cx.convert(cx.select(plain, x, mantissa), self.dtype), cx.convert(exponent, DType.INT32)
