"""Reductions along axes: sums, means, extrema and their indices, counts, log-sum-exp."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.registry import add_rules, lowers
from lowering.stablehlo.size_questions import most
from lowering.stablehlo.value import Shape, Value

Axes = int | Sequence[int] | None


def accumulated(cx: Context, value: Value, dtype: DType | None = None) -> Value:
    """A reduction's operand in the type eager accumulates `dtype` (of the result, by default) in."""
    return cx.convert(value, cx.compute_dtype(dtype or cx.out.dtype))


def reduced_size(cx: Context, shape: Shape, axes: Axes) -> int:
    """How many elements each result is made of."""
    size = 1
    for axis in cx.axes(axes, len(shape)):
        size *= shape[axis]
    return size


def keep_all(cx: Context, value: Value, rank: int, keepdim: bool) -> Value:
    """A 0-d result with all axes kept at size 1 if asked."""
    return cx.reshape(value, (1,) * rank) if keepdim else value


@lowers("aten.sum.default", "aten.sum.dim_IntList")
def sum_(
    cx: Context, self: Value, dim: Axes = None, keepdim: bool = False, dtype: DType | None = None
) -> Value:
    # Eager casts to the result's type before it adds: a float64 summed as int64 loses its fractions first.
    total = cx.reduce_sum(accumulated(cx, cx.convert(self, cx.out.dtype)), dim, keepdim)
    return cx.convert(total, cx.out.dtype)


@lowers("aten.nansum.default")
def nansum(
    cx: Context, self: Value, dim: Axes = None, keepdim: bool = False, dtype: DType | None = None
) -> Value:
    value = cx.convert(self, cx.out.dtype)
    return sum_(cx, cx.select(cx.is_nan(value), 0, value), dim, keepdim)


@lowers("aten.mean.default", "aten.mean.dim")
def mean(
    cx: Context, self: Value, dim: Axes = None, keepdim: bool = False, dtype: DType | None = None
) -> Value:
    value = accumulated(cx, self)
    total = cx.reduce_sum(value, dim, keepdim)
    return cx.convert(total / reduced_size(cx, self.shape, dim), cx.out.dtype)


@lowers("aten.nanmean.default")
def nanmean(
    cx: Context, self: Value, dim: Axes = None, keepdim: bool = False, dtype: DType | None = None
) -> Value:
    total = nansum(cx, self, dim, keepdim)
    count = cx.reduce_sum(cx.convert(~cx.is_nan(self), DType.INT64), dim, keepdim)
    return cx.pointwise(lambda a, b: a / b, total, count, out=cx.out.dtype)


@lowers("aten.prod.default", "aten.prod.dim_int")
def prod(
    cx: Context, self: Value, dim: int | None = None, keepdim: bool = False, dtype: DType | None = None
) -> Value:
    value = accumulated(cx, cx.convert(self, cx.out.dtype))
    return cx.convert(cx.reduce_prod(value, dim, keepdim), cx.out.dtype)


@lowers("aten.hash_tensor.default")
def hash_tensor(cx: Context, self: Value, dim: Axes = None, keepdim: bool = False) -> Value:
    """The exclusive or of all elements' bits: of floats as float64, of integers as int64."""
    if self.dtype.is_floating:
        bits = cx.bitcast(cx.convert(self, DType.FLOAT64), DType.UINT64)
    else:
        bits = cx.convert(self, DType.UINT64)
    return cx.reshape(cx.reduce(bits, 0, lambda a, b: a ^ b, dim or None)[0], cx.out.shape)


@lowers("aten.trace.default")
def trace(cx: Context, self: Value) -> Value:
    rows, columns = (cx.iota(DType.INT32, self.shape, axis) for axis in (0, 1))
    value = cx.convert(self, cx.out.dtype)
    return sum_(cx, cx.select(rows == columns, value, 0))


@lowers("aten.sum_to_size.default")
def sum_to_size(cx: Context, self: Value, size: Sequence[int]) -> Value:
    extra = self.rank - len(size)
    axes = [a for a in range(self.rank) if a < extra or size[a - extra] != self.shape[a]]
    if not axes:
        return cx.convert(self, cx.out.dtype)
    total = cx.reduce_sum(accumulated(cx, self), axes)
    return cx.reshape(cx.convert(total, cx.out.dtype), size)


# Truth


def _truth(cx: Context, self: Value) -> Value:
    return cx.convert(self, DType.BOOL)


def _all_or_any(reduce: Callable[..., Value]) -> Callable[..., Value]:
    def rule(cx: Context, self: Value, dim: Axes = None, keepdim: bool = False) -> Value:
        # uint8 in, uint8 out; every other type gives bool.
        return cx.convert(reduce(cx, _truth(cx, self), dim, keepdim), cx.out.dtype)

    return rule


def _over_listed_axes(reduce: Callable[..., Value]) -> Callable[..., Value]:
    """`all.dims` and `any.dims`: an empty list of axes reduces none, unlike everywhere else."""

    def rule(cx: Context, self: Value, dim: Sequence[int] | None = None, keepdim: bool = False) -> Value:
        truth = _truth(cx, self)
        result = truth if dim is not None and not len(dim) else reduce(cx, truth, dim, keepdim)
        return cx.convert(result, cx.out.dtype)

    return rule


@lowers("aten.count_nonzero.default", "aten.count_nonzero.dim_IntList")
def count_nonzero(cx: Context, self: Value, dim: Axes = None) -> Value:
    return cx.reduce_sum(cx.convert(_truth(cx, self), DType.INT64), dim)


# Extrema. NaN wins, as in eager; of equal elements the first.


def index_of(cx: Context, self: Value, extremum: Value, axis: int) -> Value:
    """The first position along `axis` that holds the extremum of its line (kept at size 1), or NaN; int64.

    Two plain reductions, which vectorise, rather than one over (value, index) pairs.
    """
    if not self.rank:
        return cx.constant(0, DType.INT64)
    size = self.shape[axis]
    dtype = DType.INT32 if most(size) < 1 << 31 else DType.INT64
    found = (self == extremum) | cx.is_nan(self)
    places = cx.select(found, cx.iota(dtype, self.shape, axis), size)
    return cx.convert(cx.reduce_min(places, axis, keepdim=True), DType.INT64)


def _extremum(reduce: Callable[..., Value]) -> Callable[..., Value]:
    def rule(cx: Context, self: Value, dim: Axes = None, keepdim: bool = False) -> Value:
        return reduce(cx, self, dim, keepdim)

    return rule


def _extremum_with_index(reduce: Callable[..., Value]) -> Callable[..., tuple[Value, Value]]:
    def rule(cx: Context, self: Value, dim: int, keepdim: bool = False) -> tuple[Value, Value]:
        axis = cx.axis(dim, self.rank)
        value = reduce(cx, self, axis, keepdim=True)
        index = index_of(cx, self, value, axis)
        if keepdim or not self.rank:
            return value, index
        return cx.squeeze(value, axis), cx.squeeze(index, axis)

    return rule


def _index(reduce: Callable[..., Value]) -> Callable[..., Value]:
    def rule(cx: Context, self: Value, dim: int | None = None, keepdim: bool = False) -> Value:
        line = cx.reshape(self, (-1,)) if dim is None else self
        axis = 0 if dim is None else cx.axis(dim, self.rank)
        index = index_of(cx, line, reduce(cx, line, axis, keepdim=True), axis)
        return cx.reshape(index, cx.out.shape)

    return rule


@lowers("aten.aminmax.default")
def aminmax(cx: Context, self: Value, dim: int | None = None, keepdim: bool = False) -> tuple[Value, Value]:
    low, high = cx.reduce_min(self, dim), cx.reduce_max(self, dim)
    return cx.reshape(low, cx.outs[0].shape), cx.reshape(high, cx.outs[1].shape)


def _elementwise_extremum(pick: Callable[..., Value]) -> Callable[..., Value]:
    def rule(cx: Context, self: Value, other: Value) -> Value:
        return cx.pointwise(lambda a, b: pick(cx, a, b), self, other, out=cx.out.dtype, compute=cx.out.dtype)

    return rule


EXTREMA = [
    (Context.reduce_max, Context.maximum, "max"),
    (Context.reduce_min, Context.minimum, "min"),
]

add_rules(
    row
    for reduce, pick, name in EXTREMA
    for row in (
        (f"aten.{name}.default", _extremum(reduce)),
        (f"aten.a{name}.default", _extremum(reduce)),
        (f"aten.{name}.dim", _extremum_with_index(reduce)),
        (f"aten.arg{name}.default", _index(reduce)),
        (f"aten.{name}.other", _elementwise_extremum(pick)),
    )
)

add_rules(
    row
    for reduce, name in ((Context.reduce_and, "all"), (Context.reduce_or, "any"))
    for row in (
        (f"aten.{name}.default", _all_or_any(reduce)),
        (f"aten.{name}.dim", _all_or_any(reduce)),
        (f"aten.{name}.dims", _over_listed_axes(reduce)),
        (f"aten._is_{name}_true.default", _all_or_any(reduce)),
    )
)


@lowers("aten.logsumexp.default", "aten.special_logsumexp.default")
def logsumexp(cx: Context, self: Value, dim: Axes, keepdim: bool = False) -> Value:
    value = accumulated(cx, self)
    # A line of size 0 has no largest element; its sum is 0 and the result -inf.
    largest = cx.reduce_max(cx.real(value) if value.dtype.is_complex else value, dim, keepdim=True)
    # An infinite maximum would give inf - inf; shifted by 0 instead, exp(inf) = inf is the answer.
    shift = cx.select(cx.is_finite(largest) | cx.is_nan(largest), largest, 0)
    shift = cx.convert(shift, value.dtype)
    # Of halves eager rounds each step.
    terms = cx.rounded(cx.exp(cx.rounded(value - shift, cx.out.dtype)), cx.out.dtype)
    total = cx.rounded(cx.reduce_sum(terms, dim, keepdim=True), cx.out.dtype)
    total = cx.rounded(cx.log(total), cx.out.dtype) + shift
    return cx.reshape(cx.convert(total, cx.out.dtype), cx.out.shape)
