"""Variances, standard deviations and vector norms."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from lowering.ir.types import DType
from lowering.stablehlo.context import ConcreteType, Context
from lowering.stablehlo.ops.reduction import Axes, reduced_size
from lowering.stablehlo.registry import add_rules, lowers
from lowering.stablehlo.size_questions import at_least, same_size
from lowering.stablehlo.value import Scalar, Value

Statistics = tuple[Value, Value]


def square_deviations(cx: Context, value: Value, axes: Axes) -> tuple[Value, Value, Value]:
    """The sum of squared deviations from the mean and the mean, the axes kept at size 1; the deviations.

    The mean of the deviations is what rounding took from the mean: a spread of 1 around 1000 standardised is
    1e-4 off without it, 5e-7 with it, and 6e-5 in eager, which runs Welford's recurrence.
    """
    count = reduced_size(cx, value.shape, axes)
    mean = cx.reduce_sum(value, axes, keepdim=True) / count
    deviation = value - mean
    rest = cx.reduce_sum(deviation, axes, keepdim=True) / count
    total = cx.reduce_sum(deviation * deviation, axes, keepdim=True) - rest * rest * count
    return cx.maximum(total, 0), mean + rest, deviation - rest


def variance(cx: Context, value: Value, axes: Axes, correction: Scalar) -> Statistics:
    """Variance and mean, axes kept; the divisor is never negative, so too few elements give NaN or inf."""
    if value.dtype.is_complex:
        real, real_mean = variance(cx, cx.real(value), axes, correction)
        imag, imag_mean = variance(cx, cx.imag(value), axes, correction)
        return real + imag, cx.complex(real_mean, imag_mean)
    total, mean, _ = square_deviations(cx, value, axes)
    if same_size(reduced_size(cx, value.shape, axes), 1):
        # Of an infinity, whose deviation from itself is NaN.
        mean = value
    assert not isinstance(correction, complex)
    return total / degrees_of_freedom(reduced_size(cx, value.shape, axes), correction), mean


def degrees_of_freedom(count: int, correction: float) -> float:
    """How many of `count` elements are free; never less than none."""
    if float(correction).is_integer():
        return at_least(count - int(correction), 0)
    return max(count - correction, 0)


def _spread(root: bool, with_mean: bool, biased_flag: bool) -> Callable[..., Value | Statistics]:
    def compute(cx: Context, self: Value, dim: Axes, correction: Scalar) -> Value | Statistics:
        value = cx.convert(self, cx.compute_dtype(self.dtype))
        if self.dtype in (DType.FLOAT32, DType.BFLOAT16):
            # As in eager, sums and squares of large numbers do not overflow; float16 has none.
            value = cx.convert(value, DType.FLOAT64)
        spread, mean = variance(cx, value, dim, correction)
        # Of halves eager's squares are float32, and endless before their root is taken.
        spread = cx.convert(spread, cx.accumulation_dtype(cx.outs[0].dtype))
        results = (cx.sqrt(spread) if root else spread, mean)
        shaped = tuple(
            cx.reshape(cx.convert(result, out.dtype), out.shape)
            for result, out in zip(results, cx.outs, strict=False)
        )
        return (shaped[0], shaped[1]) if with_mean else shaped[0]

    def by_flag(
        cx: Context, self: Value, dim: Axes = None, unbiased: bool = True, keepdim: bool = False
    ) -> Value | Statistics:
        return compute(cx, self, dim, int(unbiased))

    def by_correction(
        cx: Context, self: Value, dim: Axes = None, correction: Scalar | None = None, keepdim: bool = False
    ) -> Value | Statistics:
        return compute(cx, self, dim, 1 if correction is None else correction)

    return by_flag if biased_flag else by_correction


add_rules(
    (f"aten.{name}{'_mean' * with_mean}.{overload}", _spread(root, with_mean, overload != "correction"))
    for name, root in (("var", False), ("std", True))
    for with_mean in (False, True)
    for overload in ("default", "dim", "correction")
)


def vector_norm(cx: Context, value: Value, p: float, axes: Axes, keepdim: bool) -> Value:
    """The p-norm along axes, of a real or complex value in its accumulation type."""
    size = cx.abs(value)
    if p and same_size(reduced_size(cx, value.shape, axes), 1):
        # As eager has it: a square could overflow.
        return cx.reduce_max(size, axes, keepdim)
    if p == inf:
        return cx.reduce_max(size, axes, keepdim)
    if p == -inf:
        return cx.reduce_min(size, axes, keepdim)
    if p == 0:
        return cx.reduce_sum(cx.convert(size != 0, size.dtype), axes, keepdim)
    if p == 1:
        return cx.reduce_sum(size, axes, keepdim)
    if p == 2:
        return cx.sqrt(cx.reduce_sum(size * size, axes, keepdim))
    return cx.reduce_sum(size**p, axes, keepdim) ** (1.0 / p)


def _norm(cx: Context, self: Value, p: Scalar, dim: Axes, keepdim: bool, dtype: DType | None) -> Value:
    assert not isinstance(p, complex)
    value = cx.convert(self, dtype or self.dtype)
    value = cx.convert(value, cx.compute_dtype(value.dtype))
    return cx.convert(vector_norm(cx, value, float(p), dim, keepdim), cx.out.dtype)


@lowers("aten.linalg_vector_norm.default")
def linalg_vector_norm(
    cx: Context,
    self: Value,
    ord: Scalar = 2,
    dim: Axes = None,
    keepdim: bool = False,
    dtype: DType | None = None,
) -> Value:
    return _norm(cx, self, ord, dim, keepdim, dtype)


@lowers(
    "aten.norm.Scalar",
    "aten.norm.ScalarOpt_dtype",
    "aten.norm.ScalarOpt_dim",
    "aten.norm.ScalarOpt_dim_dtype",
)
def norm(
    cx: Context,
    self: Value,
    p: Scalar | None = 2,
    dim: Axes = None,
    keepdim: bool = False,
    dtype: DType | None = None,
) -> Value:
    return _norm(cx, self, 2 if p is None else p, dim, keepdim, dtype)


@lowers("aten.frobenius_norm.dim")
def frobenius_norm(cx: Context, self: Value, dim: Axes, keepdim: bool = False) -> Value:
    return _norm(cx, self, 2, dim, keepdim, None)


@lowers("aten.dist.default")
def dist(cx: Context, self: Value, other: Value, p: Scalar = 2) -> Value:
    common = cx.result_type(self, other)
    difference = cx.pointwise(lambda a, b: a - b, self, other, out=common)
    return _norm(cx, difference, p, None, False, None)


@lowers("aten._pdist_forward.default")
def pdist(cx: Context, self: Value, p: float) -> Value:
    """The distances of all pairs of rows i < j, in the order of (i, j)."""
    rows, pairs = self.shape[0], cx.out.shape
    if not self.size or not pairs[0]:
        return cx.constant(0, self.dtype, pairs)
    first = cx.iota(DType.INT64, (rows - 1,))
    # Where the pairs of each i begin.
    begins = (first * (2 * rows - 1 - first)) / 2
    pair = cx.iota(DType.INT64, pairs)
    out = [ConcreteType(DType.INT64, pairs)]
    i = cx.call("aten.searchsorted.Tensor", begins, pair, right=True, outs=out) - 1
    j = pair - cx.take(begins, i) + i + 1
    return vector_norm(cx, cx.take(self, i) - cx.take(self, j), p, -1, False)


@lowers("aten._cdist_forward.default")
def cdist(cx: Context, x1: Value, x2: Value, p: float, compute_mode: int | None) -> Value:
    rows, columns = cx.unsqueeze(x1, -2), cx.unsqueeze(x2, -3)
    return vector_norm(cx, rows - columns, p, -1, False)
