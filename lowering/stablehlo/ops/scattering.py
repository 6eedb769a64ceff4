"""Writing by index and by mask: scatter, index_put, index_copy, put, masked_fill."""

from __future__ import annotations

from collections.abc import Callable

from lowering.ir.types import DType
from lowering.stablehlo.build.reduce import highest, lowest
from lowering.stablehlo.context import Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.hlo import stablehlo
from lowering.stablehlo.ops.cumulative import scan
from lowering.stablehlo.ops.indexing import MASKS, Indices, clamped, flat_positions, index_vectors
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.symbolic import is_symbolic
from lowering.stablehlo.value import Scalar, Value

# ---- scatter: one element of `src` to one position each ----


def replace(old: Value, new: Value) -> Value:
    """The later of two writes to one position stays, as in eager's loop over the source."""
    return new


def add(old: Value, new: Value) -> Value:
    return old + new


def multiply(old: Value, new: Value) -> Value:
    return old * new


Body = Callable[[Value, Value], Value]


def _bodies(cx: Context) -> dict[str, Body]:
    return {"add": add, "sum": add, "mean": add, "multiply": multiply, "prod": multiply,
            "amax": cx.maximum, "amin": cx.minimum}  # fmt: skip


def _identity(reduce: str, dtype: DType) -> Scalar:
    """The initial values of `include_self=False`."""
    return {"prod": 1, "amax": lowest(dtype), "amin": highest(dtype)}.get(reduce, 0)


def scatter_along(
    cx: Context, value: Value, dim: int, index: Value, source: Value | Scalar, body: Body
) -> Value:
    """`value[..., index, ...] = body(old, source)`, as writes to the flattened tensor.

    `source` is read at the index's positions and may be larger; a scalar is written everywhere.
    """
    if not index.size or not value.size:
        return value
    whole = value if value.rank else cx.reshape(value, (1,))
    index = index if index.rank else cx.reshape(index, (1,))
    if isinstance(source, Value):
        source = cx.reshape(source, source.shape or (1,))
        updates = cx.slice(source, [0] * source.rank, index.shape)
    else:
        updates = cx.constant(source, value.dtype, index.shape)
    positions = flat_positions(cx, whole.shape, index, dim)
    return scatter_flat(cx, value, positions, cx.convert(updates, value.dtype), body)


def scatter_flat(cx: Context, value: Value, positions: Value, updates: Value, body: Body) -> Value:
    """Write to row-major positions; `updates` has the shape of `positions`."""
    if not positions.size:
        return value
    flat = cx.scatter(
        cx.reshape(value, (value.size,)),
        cx.reshape(positions, (positions.size, 1)),
        cx.reshape(updates, (positions.size,)),
        body,
        update_window_dims=[],
        inserted_dims=[0],
        scatter_map=[0],
    )
    return cx.reshape(flat, value.shape)


@lowers("aten.scatter.src")
def scatter(cx: Context, self: Value, dim: int, index: Value, src: Value) -> Value:
    return scatter_along(cx, self, dim, index, src, replace)


@lowers("aten.scatter.value")
def scatter_value(cx: Context, self: Value, dim: int, index: Value, value: Scalar) -> Value:
    return scatter_along(cx, self, dim, index, value, replace)


@lowers("aten.scatter_add.default")
def scatter_add(cx: Context, self: Value, dim: int, index: Value, src: Value) -> Value:
    return _accumulate(cx, self, dim, index, src, add)


@lowers("aten.scatter.reduce", "aten.scatter.value_reduce")
def scatter_with(
    cx: Context,
    self: Value,
    dim: int,
    index: Value,
    reduce: str,
    src: Value | None = None,
    value: Scalar | None = None,
) -> Value:
    """`add` or `multiply`."""
    source = src if src is not None else value
    assert source is not None
    return _accumulate(cx, self, dim, index, source, _bodies(cx)[reduce])


def _accumulate(
    cx: Context, value: Value, dim: int, index: Value, source: Value | Scalar, body: Body
) -> Value:
    """Halves accumulate in float32 and are rounded once."""
    compute = cx.compute_dtype(value.dtype)
    if isinstance(source, Value):
        source = cx.convert(source, compute)
    return cx.convert(scatter_along(cx, cx.convert(value, compute), dim, index, source, body), value.dtype)


@lowers("aten.scatter_reduce.two")
def scatter_reduce(
    cx: Context, self: Value, dim: int, index: Value, src: Value, reduce: str, include_self: bool
) -> Value:
    """`sum prod mean amax amin` of what lands on a position, with or without what was there."""
    start = self
    if not include_self:
        start = scatter_along(cx, self, dim, index, _identity(reduce, self.dtype), replace)
    total = _accumulate(cx, start, dim, index, src, _bodies(cx)[reduce])
    if reduce != "mean":
        return total
    counts = cx.constant(int(include_self), DType.INT64, self.shape)
    return divide_by_counts(cx, total, scatter_along(cx, counts, dim, index, 1, add))


def divide_by_counts(cx: Context, total: Value, counts: Value) -> Value:
    """Means from sums; integers round down, positions without a count stay."""
    counts = cx.maximum(counts, 1)
    if not total.dtype.is_integer:
        return cx.pointwise(lambda t, n: t / n, total, cx.convert(counts, total.dtype), out=total.dtype)
    divisor = cx.convert(counts, total.dtype)
    quotient = total / divisor
    if not total.dtype.is_signed:
        return quotient
    return cx.select((quotient * divisor != total) & (total < 0), quotient - 1, quotient)


# ---- whole rows along an axis ----


def scatter_rows(cx: Context, value: Value, dim: int, index: Value, source: Value, body: Body) -> Value:
    """`value.select(dim, index[i]) = body(old, source.select(dim, i))` for each i in turn."""
    if not source.size or not value.size:
        return value
    whole = value if value.rank else cx.reshape(value, (1,))
    source = source if source.rank else cx.reshape(source, (1,))
    axis = cx.axis(dim, whole.rank)
    index = cx.index_in(index, whole.shape[axis])
    if index.size == 1 and body is replace:
        return cx.reshape(_replace_window(cx, whole, {axis: cx.reshape(index, ())}, source), value.shape)
    result = cx.scatter(
        whole,
        cx.reshape(index, (index.size, 1)),
        source,
        body,
        update_window_dims=[a for a in range(whole.rank) if a != axis],
        inserted_dims=[axis],
        scatter_map=[axis],
    )
    return cx.reshape(result, value.shape)


def _replace_window(cx: Context, value: Value, starts: dict[int, Value], update: Value) -> Value:
    """The one row at these starts (0-d, in bounds, by axis) replaced.

    It is known to be one, and can be written in place along any axis.
    """
    sizes = [1 if axis in starts else size for axis, size in enumerate(value.shape)]
    begin: list[Value | int] = [starts.get(axis, 0) for axis in range(value.rank)]
    return cx.dynamic_update_slice(value, cx.reshape(update, sizes), begin)


@lowers("aten.index_copy.default")
def index_copy(cx: Context, self: Value, dim: int, index: Value, source: Value) -> Value:
    return scatter_rows(cx, self, dim, index, source, replace)


@lowers("aten.index_add.default")
def index_add(cx: Context, self: Value, dim: int, index: Value, source: Value, alpha: Scalar) -> Value:
    """Eager adds row after row in the tensor's own type, so halves round after every addition.

    `alpha` is rounded to that type, and so is its product with a half where the rows are single elements.
    (Eager also rounds it in what is left of longer rows after whole vectors of 16 or 32: not followed here.)
    """
    if alpha == 1:
        return scatter_rows(cx, self, dim, index, source, add)
    factor = cx.constant(alpha, self.dtype)
    if self.rank < 2 or not self.dtype.is_half:
        return scatter_rows(cx, self, dim, index, source * factor, add)
    wide = DType.FLOAT32
    bits = (5, 10) if self.dtype is DType.FLOAT16 else (8, 7)

    def add_rounded(old: Value, new: Value) -> Value:
        return Value(stablehlo.reduce_precision((old + new).ir, *bits), old.shape)

    scaled = cx.convert(source, wide) * cx.convert(factor, wide)
    total = scatter_rows(cx, cx.convert(self, wide), dim, index, scaled, add_rounded)
    return cx.convert(total, self.dtype)


@lowers("aten.index_fill.int_Scalar", "aten.index_fill.int_Tensor")
def index_fill(cx: Context, self: Value, dim: int, index: Value, value: Scalar | Value) -> Value:
    """Rows of one value; negative indices count from the end."""
    whole = self if self.rank else cx.reshape(self, (1,))
    axis = cx.axis(dim, whole.rank)
    hit = _touched(cx, whole.shape[axis], cx.index_in(index, whole.shape[axis], negative=True))
    hit = cx.broadcast_in_dim(hit, whole.shape, (axis,))
    return cx.reshape(cx.select(hit, cx.as_value(value, self.dtype), whole), self.shape)


def _touched(cx: Context, size: int, index: Value) -> Value:
    """Which of `size` rows an index names."""
    counts = cx.constant(0, DType.INT32, (size,))
    ones = cx.constant(1, DType.INT32, (index.size,))
    return scatter_rows(cx, counts, 0, index, ones, replace) != 0


@lowers("aten.index_reduce.default")
def index_reduce(
    cx: Context, self: Value, dim: int, index: Value, source: Value, reduce: str, include_self: bool
) -> Value:
    """`prod mean amax amin` of the rows that land on a row, with or without what was there."""
    whole = self if self.rank else cx.reshape(self, (1,))
    axis = cx.axis(dim, whole.rank)
    start = whole
    if not include_self:
        hit = cx.broadcast_in_dim(_touched(cx, whole.shape[axis], index), whole.shape, (axis,))
        start = cx.select(hit, _identity(reduce, self.dtype), whole)
    total = scatter_rows(cx, start, axis, index, source, _bodies(cx)[reduce])
    if reduce == "mean":
        counts = cx.constant(int(include_self), DType.INT64, (whole.shape[axis],))
        counts = scatter_rows(cx, counts, 0, index, cx.constant(1, DType.INT64, (index.size,)), add)
        total = divide_by_counts(cx, total, cx.broadcast_in_dim(counts, whole.shape, (axis,)))
    return cx.reshape(total, self.shape)


# ---- index_put ----


@lowers("aten.index_put.default", "aten._unsafe_index_put.default", "aten._index_put_impl_.default")
def index_put(
    cx: Context, self: Value, indices: Indices, values: Value, accumulate: bool, unsafe: bool = False
) -> Value:
    """`self[indices] = values`, or `+=`; index tensors as for `aten.index.Tensor`, or one mask."""
    used = [item for item in indices if item is not None]
    if any(item.dtype in MASKS for item in used):
        if len(used) > 1:
            raise Unsupported("a mask beside other index tensors")
        return _put_masked(cx, self, indices, values, accumulate)
    return put_many(cx, self, indices, values, accumulate)


def put_many(cx: Context, value: Value, indices: Indices, values: Value, accumulate: bool) -> Value:
    """Scatter windows: the indexed axes come first in the updates, the others follow."""
    axes = [axis for axis, item in enumerate(indices) if item is not None]
    if not axes:
        values = cx.broadcast(values, value.shape)
        return value + values if accumulate else values
    starts = index_vectors(cx, value, indices)
    grid = starts.shape[:-1]
    kept = [size for axis, size in enumerate(value.shape) if axis not in axes]
    place = axes[0] if axes[-1] - axes[0] + 1 == len(axes) else 0
    shape = (*kept[:place], *grid, *kept[place:])
    if 0 in shape or not value.size:
        return value
    updates = cx.broadcast(_fit(cx, cx.convert(values, value.dtype), len(shape)), shape)
    if all(size == 1 for size in grid) and not accumulate:
        vector = cx.reshape(starts, (len(axes),))
        first = {axis: cx.reshape(cx.slice_axis(vector, 0, i, i + 1), ()) for i, axis in enumerate(axes)}
        return _replace_window(cx, value, first, updates)
    return cx.scatter(
        value,
        starts,
        updates,
        add if accumulate else replace,
        update_window_dims=[*range(place), *range(place + len(grid), len(shape))],
        inserted_dims=axes,
        scatter_map=axes,
    )


def _fit(cx: Context, values: Value, rank: int) -> Value:
    """Drop leading axes of size 1 beyond `rank`."""
    extra = max(values.rank - rank, 0)
    return cx.reshape(values, values.shape[extra:])


def _put_masked(cx: Context, value: Value, indices: Indices, values: Value, accumulate: bool) -> Value:
    """Where the mask holds: one value for all, or the n-th row of `values` for the n-th true element."""
    place = next(i for i, item in enumerate(indices) if item is not None)
    mask = indices[place]
    assert mask is not None
    end = place + mask.rank
    hit = cx.convert(mask, DType.BOOL)
    rest = value.shape[end:]
    values = cx.convert(values, value.dtype)
    picked_axis = values.rank - len(rest) - 1
    if picked_axis >= 0 and values.shape[picked_axis] != 1:
        if place:
            raise Unsupported("a mask after whole axes with a value for each of its elements")
        rows = cx.reshape(values, values.shape[picked_axis:])
        count, ranks = rows.shape[0], _rank_of_true(cx, hit)
        if not count:
            return value
        values = cx.take(rows, cx.clamp(0, ranks, count - 1), 0)
    elif picked_axis >= 0:
        shape = (*values.shape[:picked_axis], *(1,) * mask.rank, *values.shape[picked_axis + 1 :])
        values = _fit(cx, cx.reshape(values, shape), value.rank)
    values = cx.broadcast(values, value.shape)
    hit = cx.broadcast_in_dim(hit, value.shape, tuple(range(place, end)))
    return cx.select(hit, value + values if accumulate else values, value)


def _rank_of_true(cx: Context, mask: Value) -> Value:
    """How many true elements come before each, in row-major order (int64).

    By doubling: after step k every element holds the sum of the last 2**k.
    """
    ones = cx.reshape(cx.convert(mask, DType.INT64), (mask.size,))
    if is_symbolic(mask.size):
        return cx.reshape(scan(cx, ones, 0, add) - ones, mask.shape)
    total, reach = ones, 1
    while reach < mask.size:
        total = total + cx.pad(total, [reach], [-reach])
        reach *= 2
    return cx.reshape(total - ones, mask.shape)


@lowers("aten._unsafe_masked_index_put_accumulate.default")
def unsafe_masked_index_put(cx: Context, self: Value, mask: Value, indices: Indices, values: Value) -> Value:
    """`self[indices] += values` where the mask holds; indices are clamped first."""
    if not self.size:
        return self
    masked = cx.select(mask, values, 0)
    return put_many(cx, self, clamped(cx, self, indices), masked, True)


@lowers("aten.put.default")
def put(cx: Context, self: Value, index: Value, source: Value, accumulate: bool) -> Value:
    """Elements of the flattened tensor; negative positions count from the end."""
    positions = cx.index_in(index, self.size, negative=True)
    return scatter_flat(cx, self, positions, source, add if accumulate else replace)


# ---- masks ----


@lowers("aten.masked_fill.Scalar", "aten.masked_fill.Tensor")
def masked_fill(cx: Context, self: Value, mask: Value, value: Scalar | Value) -> Value:
    filled = cx.select(cx.convert(mask, DType.BOOL), cx.as_value(value, self.dtype), self)
    return cx.broadcast(filled, cx.out.shape)


@lowers("aten.masked_scatter.default")
def masked_scatter(cx: Context, self: Value, mask: Value, source: Value) -> Value:
    """The n-th true element of the mask becomes the n-th element of `source`."""
    shape = cx.out.shape
    if 0 in shape or not source.size:
        return cx.broadcast(self, shape)
    mask = cx.broadcast(cx.convert(mask, DType.BOOL), shape)
    ranks = cx.clamp(0, _rank_of_true(cx, mask), source.size - 1)
    return cx.select(mask, cx.take(cx.reshape(source, (source.size,)), ranks), cx.broadcast(self, shape))
