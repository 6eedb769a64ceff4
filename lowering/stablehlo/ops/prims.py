"""torch's prims, into which its whole table of decompositions takes programs apart.

Each does what one function of ATen does (`impl_aten` in `torch/_prims`), on operands of one dtype. Random
prims, `item` and `xor_sum`, which eager has not, are without a rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lowering.ir.types import DType
from lowering.stablehlo.context import ConcreteType, Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.ops.casts import cast
from lowering.stablehlo.ops.creation import filled, progression
from lowering.stablehlo.ops.strided import strided
from lowering.stablehlo.ops.view_writes import as_strided_scatter
from lowering.stablehlo.registry import add_rules, lowers
from lowering.stablehlo.value import Scalar, Value

Operand = Value | Scalar

# By the prim's name: the overload that does the same, where it is not `aten.<name>.default`.
UNARY = {
    **{
        name: f"aten.{name}.default"
        for name in (
            *("abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "bitwise_not", "ceil"),
            *("conj_physical", "cos", "cosh", "digamma", "erf", "erfc", "exp", "exp2", "expm1", "floor"),
            *("imag", "isfinite", "lgamma", "log", "log10", "log1p", "log2", "neg", "real", "reciprocal"),
            *("round", "rsqrt", "sign", "sin", "sinh", "sqrt", "tan", "tanh", "trunc"),
        )
    },
    "bessel_i0": "aten.i0.default",
    "bessel_i0e": "aten.special_i0e.default",
    "bessel_i1": "aten.special_i1.default",
    "bessel_i1e": "aten.special_i1e.default",
    "bessel_j0": "aten.special_bessel_j0.default",
    "bessel_j1": "aten.special_bessel_j1.default",
    "erf_inv": "aten.erfinv.default",
    "erfcx": "aten.special_erfcx.default",
    "frexp": "aten.frexp.Tensor",
    "ndtri": "aten.special_ndtri.default",
    "spherical_bessel_j0": "aten.special_spherical_bessel_j0.default",
}
BINARY = {
    **{
        name: f"aten.{name}.Tensor"
        for name in (
            *("add", "bitwise_and", "bitwise_or", "bitwise_xor", "eq", "fmod", "ge", "gt", "le", "lt", "mul"),
            *("ne", "remainder", "sub"),
        )
    },
    **{
        name: f"aten.{name}.default"
        for name in (
            *("atan2", "fmax", "fmin", "gcd", "hypot", "igamma", "igammac", "maximum", "minimum"),
            "nextafter",
        )
    },
    "pow": "aten.pow.Tensor_Tensor",
    "shift_left": "aten.bitwise_left_shift.Tensor",
    "shift_right_arithmetic": "aten.bitwise_right_shift.Tensor",
    "zeta": "aten.special_zeta.default",
}


# Functions from integers to integers or bool. The others make float32 of them, and programs note otherwise.
_OF_INTEGERS = frozenset(
    """
    abs bitwise_not ceil conj_physical floor imag isfinite neg real round sign trunc add bitwise_and
    bitwise_or bitwise_xor eq fmax fmin fmod gcd ge gt le lt maximum minimum mul ne pow remainder shift_left
    shift_right_arithmetic sub
    """.split()
)


def _keep_integers(cx: Context, name: str) -> None:
    out = cx.out.dtype
    if name not in _OF_INTEGERS and not (out.is_floating or out.is_complex):
        raise Unsupported(f"eager gives float32, the program says {out}")


def _unary(name: str, target: str) -> Callable[..., Value | tuple[Value, ...]]:
    def rule(cx: Context, self: Value) -> Value | tuple[Value, ...]:
        _keep_integers(cx, name)
        return cx.call(target, self)

    return rule


def _conj(cx: Context, a: Value) -> Value:
    return cx.call("aten._conj.default", a)


def _binary(name: str, target: str) -> Callable[..., Value]:
    def rule(cx: Context, self: Operand, other: Operand) -> Value:
        _keep_integers(cx, name)
        return cx.call(target, self, other)

    return rule


add_rules((f"prims.{name}.default", _unary(name, target)) for name, target in UNARY.items())
add_rules((f"prims.{name}.default", _binary(name, target)) for name, target in BINARY.items())
add_rules([("prims.conj.default", _conj)])


@lowers("prims.signbit.default")
def signbit(cx: Context, self: Value) -> Value:
    """In eager it is bool; programs record the operand's dtype."""
    sign = cx.call("aten.signbit.default", self, outs=[ConcreteType(DType.BOOL, self.shape)])
    return cx.convert(sign, cx.out.dtype)


@lowers("prims.div.default")
def div(cx: Context, self: Operand, other: Operand) -> Value:
    """Of integers towards zero."""
    if cx.out.dtype is DType.BOOL:
        raise Unsupported("eager gives float32, the program says bool")
    if cx.out.dtype.is_integer:
        return cx.call("aten.div.Tensor_mode", self, other, rounding_mode="trunc")
    return cx.call("aten.div.Tensor", self, other)


@lowers("prims.cbrt.default")
def cbrt(cx: Context, self: Value) -> Value:
    _keep_integers(cx, "cbrt")
    return cx.pointwise(cx.cbrt, self, out=cx.out.dtype)


@lowers("prims.fma.default")
def fma(cx: Context, a: Operand, b: Operand, c: Operand) -> Value:
    """Eager's is a product and a sum, each rounded."""
    product = cx.call("aten.mul.Tensor", a, b)
    return cx.call("aten.add.Tensor", product, c)


@lowers("prims.where.default")
def where(cx: Context, pred: Value, a: Operand, b: Operand) -> Value:
    return cx.call("aten.where.self", pred, a, b)


# ---- values as they are, in another type or place ----


@lowers("prims.view_of.default")
def view_of(cx: Context, a: Value) -> Value:
    return a


@lowers("prims.clone.default")
def clone(cx: Context, self: Value) -> Value:
    return self


@lowers("prims.device_put.default")
def device_put(cx: Context, a: Value) -> Value:
    return a


@lowers("prims.copy_strided.default")
def copy_strided(cx: Context, a: Value, stride: Sequence[int]) -> Value:
    return a


@lowers("prims.convert_element_type.default")
def convert_element_type(cx: Context, a: Value, dtype: DType) -> Value:
    return cast(cx, a, cx.out.dtype)


@lowers("prims.view_of_dtype.default")
def view_of_dtype(cx: Context, a: Value, dtype: DType) -> Value:
    return cx.call("aten.view.dtype", a, dtype)


@lowers("prims.copy_to.default")
def copy_to(cx: Context, a: Value, b: Value) -> Value:
    return cx.broadcast(cast(cx, b, a.dtype), a.shape)


# ---- shapes ----


@lowers("prims.reshape.default")
def reshape(cx: Context, a: Value, shape: Sequence[int]) -> Value:
    return cx.reshape(a, cx.out.shape)


@lowers("prims.collapse.default", "prims.collapse_view.default")
def collapse(cx: Context, a: Value, start: int, end: int) -> Value:
    return cx.reshape(a, cx.out.shape)


@lowers("prims.split_dim.default")
def split_dim(cx: Context, a: Value, dim: int, outer_length: int) -> Value:
    return cx.reshape(a, cx.out.shape)


@lowers("prims.squeeze.default")
def squeeze(cx: Context, a: Value, dimensions: Sequence[int]) -> Value:
    return cx.reshape(a, cx.out.shape)


@lowers("prims.broadcast_in_dim.default")
def broadcast_in_dim(
    cx: Context, a: Value, shape: Sequence[int], broadcast_dimensions: Sequence[int]
) -> Value:
    return cx.broadcast_in_dim(a, cx.out.shape, tuple(broadcast_dimensions))


@lowers("prims.transpose.default")
def transpose(cx: Context, a: Value, permutation: Sequence[int]) -> Value:
    return cx.transpose(a, permutation)


@lowers("prims.rev.default")
def rev(cx: Context, a: Value, dims: Sequence[int]) -> Value:
    return cx.reverse(a, dims)


@lowers("prims.cat.default")
def cat(cx: Context, tensors: Sequence[Value], dim: int) -> Value:
    return cx.call("aten.cat.default", tensors, dim)


@lowers("prims.as_strided.default")
def as_strided(
    cx: Context, a: Value, size: tuple[int, ...], stride: tuple[int, ...], storage_offset: int
) -> Value:
    return strided(cx, a, "a", size, stride, storage_offset)


@lowers("prims.as_strided_scatter.default")
def scatter_strided(
    cx: Context,
    self: Value,
    src: Value,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    storage_offset: int,
) -> Value:
    return as_strided_scatter(cx, self, src, size, stride, storage_offset)


# ---- reductions ----


def _axes(inp: Value, dims: Sequence[int], output_dtype: DType | None) -> Sequence[int]:
    """The axes of a reduction. Where eager and the program's types part, it is for ATen to tell."""
    if output_dtype is not None:
        raise Unsupported("eager has no dtype of the output in this prim")
    if not dims and inp.rank:
        raise Unsupported("eager reduces all axes where none is listed, the program says none")
    return dims


def _keep_type(cx: Context, inp: Value) -> None:
    if (inp.dtype.is_integer or inp.dtype is DType.BOOL) and inp.dtype is not DType.INT64:
        raise Unsupported(f"eager accumulates {inp.dtype} in int64, the program says {cx.out.dtype}")


@lowers("prims.amax.default")
def amax(cx: Context, inp: Value, dims: Sequence[int], output_dtype: DType | None = None) -> Value:
    return cx.call("aten.amax.default", inp, _axes(inp, dims, output_dtype))


@lowers("prims.amin.default")
def amin(cx: Context, inp: Value, dims: Sequence[int], output_dtype: DType | None = None) -> Value:
    return cx.call("aten.amin.default", inp, _axes(inp, dims, output_dtype))


@lowers("prims.sum.default")
def sum_(cx: Context, inp: Value, dims: Sequence[int], output_dtype: DType | None = None) -> Value:
    _keep_type(cx, inp)
    return cx.call("aten.sum.dim_IntList", inp, _axes(inp, dims, output_dtype))


@lowers("prims.prod.default")
def prod(cx: Context, inp: Value, dims: Sequence[int], output_dtype: DType | None = None) -> Value:
    """One axis after another, as eager: it rounds halves after each."""
    _keep_type(cx, inp)
    for axis in sorted(_axes(inp, dims, output_dtype), reverse=True):
        shape = tuple(size for at, size in enumerate(inp.shape) if at != axis)
        inp = cx.call("aten.prod.dim_int", inp, axis, outs=[ConcreteType(inp.dtype, shape)])
    return inp


@lowers("prims.var.default")
def var(
    cx: Context,
    inp: Value,
    dims: Sequence[int],
    correction: float = 1,
    output_dtype: DType | None = None,
) -> Value:
    axes = _axes(inp, dims, output_dtype)
    return cx.call("aten.var.correction", inp, axes or None, correction=correction)


# ---- new tensors ----


@lowers("prims.full.default")
def full(
    cx: Context, shape: Sequence[int], fill_value: Scalar, dtype: DType, requires_grad: bool = False
) -> Value:
    return filled(cx, fill_value)


@lowers("prims.full_like.default")
def full_like(cx: Context, a: Value, fill_value: Scalar, dtype: DType, requires_grad: bool = False) -> Value:
    return filled(cx, fill_value)


@lowers("prims.fill.default")
def fill(cx: Context, self: Value, value: Scalar) -> Value:
    return filled(cx, value)


@lowers("prims.scalar_tensor.default")
def scalar_tensor(cx: Context, s: Scalar, dtype: DType | None = None) -> Value:
    return filled(cx, s)


@lowers("prims.iota.default")
def iota(cx: Context, length: int, start: int, step: int, dtype: DType, requires_grad: bool = False) -> Value:
    return progression(cx, start, step)


@lowers("prims.empty.default")
def empty(cx: Context, shape: Sequence[int], dtype: DType, requires_grad: bool = False) -> Value:
    return filled(cx, 0)


@lowers("prims.empty_strided.default")
def empty_strided(
    cx: Context, shape: Sequence[int], strides: Sequence[int], dtype: DType, requires_grad: bool = False
) -> Value:
    return filled(cx, 0)


@lowers("prims.empty_permuted.default")
def empty_permuted(
    cx: Context,
    shape: Sequence[int],
    physical_layout: Sequence[int],
    dtype: DType,
    requires_grad: bool = False,
) -> Value:
    return filled(cx, 0)


# ---- transforms and factorisations ----


@lowers("prims.fft_r2c.default")
def fft_r2c(cx: Context, self: Value, dim: Sequence[int], onesided: bool) -> Value:
    return cx.call("aten._fft_r2c.default", self, dim, 0, onesided)


@lowers("prims.fft_c2c.default")
def fft_c2c(cx: Context, self: Value, dim: Sequence[int], forward: bool) -> Value:
    return cx.call("aten._fft_c2c.default", self, dim, 0, forward)


@lowers("prims.fft_c2r.default")
def fft_c2r(cx: Context, self: Value, dim: Sequence[int], last_dim_size: int) -> Value:
    return cx.call("aten._fft_c2r.default", self, dim, 0, last_dim_size)


@lowers("prims.svd.default")
def svd(cx: Context, A: Value, full_matrices: bool) -> tuple[Value, ...]:
    return cx.call("aten.linalg_svd.default", A, full_matrices)
