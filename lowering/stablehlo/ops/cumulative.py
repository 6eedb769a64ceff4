"""Running sums, products, extrema and differences along an axis."""

from __future__ import annotations

from collections.abc import Callable

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.ops.elementwise import log_add_exp
from lowering.stablehlo.registry import add_rules, lowers
from lowering.stablehlo.size_questions import most
from lowering.stablehlo.symbolic import is_symbolic
from lowering.stablehlo.value import Scalar, Value

Combine = Callable[[Value, Value], Value]


# Elements that one step of a scan covers by doubling.
BLOCK = 16


def scan(cx: Context, value: Value, axis: int, combine: Combine) -> Value:
    """Inclusive scan along an axis: `combine(earlier, later)` is associative and works element by element.

    Blocks are scanned by themselves, their totals by this very function, and each block is combined with the
    total of those before it: n work, and rounding that grows with log n. Doubling over the whole axis at
    once is n log n work, and steps that are fused compute elements many times: 408 ms for a million, 23 ms
    this way.
    """
    size = value.shape[axis] if value.rank else 1
    if is_symbolic(size):
        return _scan_of_any(cx, value, axis, combine, most(size))
    if size <= BLOCK:
        return _scan_by_doubling(cx, value, axis, combine)
    blocks = -(-size // BLOCK)
    missing = [blocks * BLOCK - size if a == axis else 0 for a in range(value.rank)]
    padded = cx.pad(value, [0] * value.rank, missing)
    before, after = value.shape[:axis], value.shape[axis + 1 :]
    inner = cx.reshape(padded, (*before, blocks, BLOCK, *after))
    inner = _scan_by_doubling(cx, inner, axis + 1, combine)
    totals = cx.slice_axis(cx.slice_axis(inner, axis + 1, BLOCK - 1, BLOCK), axis, 0, blocks - 1)
    offsets = cx.unsqueeze(scan(cx, cx.squeeze(totals, axis + 1), axis, combine), axis + 1)
    first, rest = cx.slice_axis(inner, axis, 0, 1), cx.slice_axis(inner, axis, 1, blocks)
    rest = combine(cx.broadcast(offsets, rest.shape), rest)
    result = cx.reshape(cx.concatenate([first, rest], axis), padded.shape)
    return cx.slice_axis(result, axis, 0, size)


def _scan_of_any(cx: Context, value: Value, axis: int, combine: Combine, most: int) -> Value:
    """`scan` of a size that is known only at the call, `most` at most: the same sums of the same parts.

    Elements behind another do not change it, so that padding does as well as the end.
    """
    size = value.shape[axis]
    blocks = -(-size // BLOCK)
    none = [0] * value.rank
    missing = [blocks * BLOCK - size if a == axis else 0 for a in range(value.rank)]
    before, after = value.shape[:axis], value.shape[axis + 1 :]
    inner = cx.reshape(cx.pad(value, none, missing), (*before, blocks, BLOCK, *after))
    inner = _scan_by_doubling(cx, inner, axis + 1, combine)
    if most > BLOCK:
        totals = cx.squeeze(cx.slice_axis(inner, axis + 1, BLOCK - 1, BLOCK), axis + 1)
        totals = _scan_of_any(cx, totals, axis, combine, -(-most // BLOCK))
        by_one = [int(a == axis) for a in range(totals.rank)]
        earlier = cx.pad(totals, by_one, [-by for by in by_one])
        earlier = cx.broadcast(cx.unsqueeze(earlier, axis + 1), inner.shape)
        first = cx.iota(DType.INT64, inner.shape, axis) == 0
        inner = cx.select(first, inner, combine(earlier, inner))
    return cx.slice_axis(cx.reshape(inner, (*before, blocks * BLOCK, *after)), axis, 0, size)


def _scan_by_doubling(cx: Context, value: Value, axis: int, combine: Combine) -> Value:
    """After step k each element covers the 2^k up to it."""
    size = value.shape[axis] if value.rank else 1
    step = 1
    while step < size:
        earlier = cx.slice_axis(value, axis, 0, size - step)
        later = cx.slice_axis(value, axis, step, size)
        head = cx.slice_axis(value, axis, 0, step)
        value = cx.concatenate([head, combine(earlier, later)], axis)
        step *= 2
    return value


def _running(combine: Callable[[Value, Value], Value]) -> Callable[..., Value]:
    """Sums and products are of float64 for float32, as eager's are: what overflows may come back."""

    def rule(cx: Context, self: Value, dim: int, dtype: DType | None = None) -> Value:
        value = cx.convert(self, cx.out.dtype)
        value = cx.convert(value, cx.accumulation_dtype(value.dtype))
        result = scan(cx, value, cx.axis(dim, self.rank), combine)
        return cx.convert(result, cx.out.dtype)

    return rule


def _running_extremum(pick: Callable[..., Value]) -> Callable[..., tuple[Value, Value]]:
    def rule(cx: Context, self: Value, dim: int) -> tuple[Value, Value]:
        if not self.rank:
            return self, cx.constant(0, DType.INT64)
        axis = cx.axis(dim, self.rank)
        best = scan(cx, self, axis, lambda a, b: pick(cx, a, b))
        # Where the best so far is set: of equal elements the last, and of NaNs too, as eager's `>=` has it.
        sets = (self == best) | cx.is_nan(self)
        places = cx.select(sets, cx.iota(DType.INT32, self.shape, axis), 0)
        return best, cx.convert(scan(cx, places, axis, cx.maximum), DType.INT64)

    return rule


add_rules(
    [
        ("aten.cumsum.default", _running(lambda a, b: a + b)),
        ("aten.cumprod.default", _running(lambda a, b: a * b)),
        ("aten.cummax.default", _running_extremum(Context.maximum)),
        ("aten.cummin.default", _running_extremum(Context.minimum)),
    ]
)


@lowers("aten.logcumsumexp.default", "aten._logcumsumexp.default")
def logcumsumexp(cx: Context, self: Value, dim: int) -> Value:
    value = cx.convert(self, cx.compute_dtype(self.dtype))
    if value.dtype.is_complex:
        # Eager adds to a first -inf, whose angle what vanishes takes.
        vanishes = (cx.real(value) == float("-inf")) & ~cx.is_nan(value)
        value = cx.select(vanishes, complex("-inf+0j"), value)
        return cx.convert(_one_by_one(cx, value, cx.axis(dim, self.rank)), cx.out.dtype)
    result = scan(cx, value, cx.axis(dim, self.rank), lambda a, b: log_add_exp(cx, a, b))
    return cx.convert(result, cx.out.dtype)


# Beyond so many the unrolled chain is not worth compiling.
_MAX_CHAIN = 64


def _one_by_one(cx: Context, value: Value, axis: int) -> Value:
    """Complex sums of exponentials in eager's order, on which the branch of the logarithm depends."""
    if not value.rank:
        return value
    size = value.shape[axis]
    if size > _MAX_CHAIN:
        raise Unsupported(
            f"more than {_MAX_CHAIN} complex numbers, whose branch depends on the order of sums"
        )
    total: list[Value] = []
    for at in range(size):
        item = cx.slice_axis(value, axis, at, at + 1)
        total.append(log_add_exp(cx, total[-1], item) if total else item)
    return cx.concatenate(total, axis) if total else value


@lowers("aten.diff.default")
def diff(
    cx: Context,
    self: Value,
    n: int = 1,
    dim: int = -1,
    prepend: Value | None = None,
    append: Value | None = None,
) -> Value:
    parts = [part for part in (prepend, self, append) if part is not None] if n else [self]
    dtype = cx.out.dtype
    axis = cx.axis(dim, self.rank)
    value = cx.concatenate([cx.convert(part, dtype) for part in parts], axis)
    for _ in range(min(n, value.shape[axis])):
        size = value.shape[axis]
        later, earlier = cx.slice_axis(value, axis, 1, size), cx.slice_axis(value, axis, 0, size - 1)
        if dtype is DType.BOOL:
            value = later ^ earlier
        else:
            value = cx.pointwise(lambda a, b: a - b, later, earlier, out=dtype)
    return value


def _areas(cx: Context, y: Value, widths: Value | None, axis: int) -> Value:
    """Twice the areas of the trapezoids between neighbours along an axis, of width 1 if none is given.

    Sums of integers wrap around in their own type, as in eager, and are int64 from there on.
    """
    size = y.shape[axis]
    left, right = cx.slice_axis(y, axis, 0, size - 1), cx.slice_axis(y, axis, 1, size)
    compute = cx.compute_dtype(cx.out.dtype)
    exact = not (y.dtype.is_floating or y.dtype.is_complex)
    if exact:
        pairs = left + right
    else:
        pairs = cx.rounded(cx.convert(left, compute) + cx.convert(right, compute), cx.out.dtype)
    if widths is not None:
        product = cx.result_type(pairs, widths) if exact else compute
        pairs = cx.pointwise(lambda a, w: a * w, pairs, widths, out=product)
    still_exact = not (pairs.dtype.is_floating or pairs.dtype.is_complex)
    return cx.convert(pairs, DType.INT64 if still_exact else compute)


def _halved(cx: Context, total: Value, dx: Scalar = 1) -> Value:
    return cx.pointwise(lambda t: t * (dx / 2), total, out=cx.out.dtype)


def _spacings(cx: Context, x: Value, y: Value, axis: int) -> Value:
    """Differences of the sample points, shaped to go with `y`."""
    points = x
    if x.rank == 1 and y.rank > 1:
        points = cx.reshape(x, [x.size if a == axis else 1 for a in range(y.rank)])
    elif x.rank < y.rank:
        points = cx.reshape(x, [1] * (y.rank - x.rank) + list(x.shape))
    size = points.shape[axis]
    later, earlier = cx.slice_axis(points, axis, 1, size), cx.slice_axis(points, axis, 0, size - 1)
    return later - earlier


@lowers("aten.trapezoid.dx", "aten.trapz.dx")
def trapezoid_dx(cx: Context, y: Value, dx: Scalar = 1, dim: int = -1) -> Value:
    axis = cx.axis(dim, y.rank)
    size = y.shape[axis]
    if not size:
        return _halved(cx, cx.reduce_sum(_areas(cx, y, None, axis), axis), dx)
    # The sum of all less half of both ends: NaN where an end is infinite. The ends' sum wraps around.
    exact = not (y.dtype.is_floating or y.dtype.is_complex)
    y = cx.convert(y, cx.compute_dtype(y.dtype))
    ends = cx.slice_axis(y, axis, 0, 1) + cx.slice_axis(y, axis, size - 1, size)
    total = cx.reduce_sum(cx.convert(y, DType.INT64) if exact else y, axis)
    ends = cx.reshape(ends, total.shape)
    return cx.pointwise(lambda t, e: (t - e * 0.5) * dx, total, ends, out=cx.out.dtype)


@lowers("aten.trapezoid.x", "aten.trapz.x")
def trapezoid_x(cx: Context, y: Value, x: Value, dim: int = -1) -> Value:
    axis = cx.axis(dim, y.rank)
    areas = _areas(cx, y, _spacings(cx, x, y, axis), axis)
    return _halved(cx, cx.reduce_sum(areas, axis))


@lowers("aten.cumulative_trapezoid.dx")
def cumulative_trapezoid_dx(cx: Context, y: Value, dx: Scalar = 1, dim: int = -1) -> Value:
    axis = cx.axis(dim, y.rank)
    return _running_sum(cx, _areas(cx, y, None, axis), axis, dx)


@lowers("aten.cumulative_trapezoid.x")
def cumulative_trapezoid_x(cx: Context, y: Value, x: Value, dim: int = -1) -> Value:
    axis = cx.axis(dim, y.rank)
    return _running_sum(cx, _areas(cx, y, _spacings(cx, x, y, axis), axis), axis)


def _running_sum(cx: Context, areas: Value, axis: int, dx: Scalar = 1) -> Value:
    return _halved(cx, scan(cx, areas, axis, lambda a, b: a + b), dx)
