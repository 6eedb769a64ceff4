"""Sorting and selection: sort, topk, argsort, kthvalue, mode, median, searchsorted.

Order is eager's: NaN is larger than everything, -0 equals 0, and equal elements keep their order. Where eager
does not say which of several equal elements it means (topk, kthvalue, median), it is here the first.
"""

from __future__ import annotations

from collections.abc import Callable

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.ops.cumulative import scan
from lowering.stablehlo.ops.indexing import take_along
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.symbolic import is_symbolic
from lowering.stablehlo.value import Scalar, Shape, Value

# Up to so many elements eager's mode sorts by insertion; from there on places of equal ones get mixed up.
INSERTED = 16

# ---- sorting ----


@lowers("aten.sort.default", "aten.sort.stable")
def sort(
    cx: Context, self: Value, dim: int, descending: bool, stable: bool | None = None
) -> tuple[Value, Value]:
    return sorted_with_indices(cx, self, dim, descending)


@lowers("aten.argsort.default", "aten.argsort.stable")
def argsort(cx: Context, self: Value, dim: int, descending: bool, stable: bool | None = None) -> Value:
    return sorted_with_indices(cx, self, dim, descending)[1]


@lowers("aten.msort.default")
def msort(cx: Context, self: Value) -> Value:
    return sorted_with_indices(cx, self, 0, False)[0]


def sorted_with_indices(cx: Context, value: Value, dim: int, descending: bool) -> tuple[Value, Value]:
    """Sorted values, and where each came from along the axis (int64)."""
    if value.rank == 0:
        return value, cx.constant(0, DType.INT64)
    _check_ordered(value)
    axis = cx.axis(dim, value.rank)
    before = _before(cx, descending)
    places = cx.iota(DType.INT64, value.shape, axis)
    keys, places = cx.sort([value, places], axis, lambda a, b, i, j: before(a, b))
    return keys, places


def _check_ordered(value: Value) -> None:
    if value.dtype.is_complex:
        raise Unsupported("complex numbers have no order")


def _before(cx: Context, descending: bool) -> Callable[[Value, Value], Value]:
    """Whether the first operand sorts before the second; NaN is the largest."""

    def ascending(a: Value, b: Value) -> Value:
        if not a.dtype.is_floating:
            return a < b
        return (a < b) | (cx.is_nan(b) & ~cx.is_nan(a))

    return (lambda a, b: ascending(b, a)) if descending else ascending


# ---- selection ----


@lowers("aten.topk.default")
def topk(cx: Context, self: Value, k: int, dim: int, largest: bool, sorted: bool) -> tuple[Value, Value]:
    """Always in order, which `sorted=False` allows."""
    if self.rank == 0 or k == 0:
        shape = cx.out.shape
        return cx.broadcast(self, shape) if k else cx.constant(0, self.dtype, shape), _zeros(cx, shape)
    axis = cx.axis(dim, self.rank)
    if k == 1:
        value, place = _extreme(cx, self, axis, largest)
        return cx.reshape(value, cx.out.shape), cx.reshape(place, cx.out.shape)
    values, places = sorted_with_indices(cx, self, axis, largest)
    return cx.slice_axis(values, axis, 0, k), cx.slice_axis(places, axis, 0, k)


def _zeros(cx: Context, shape: Shape) -> Value:
    return cx.constant(0, DType.INT64, shape)


def _extreme(cx: Context, value: Value, axis: int, largest: bool) -> tuple[Value, Value]:
    """The largest or smallest element along an axis and the first place of it."""
    _check_ordered(value)
    places = cx.iota(DType.INT64, value.shape, axis)
    before = _before(cx, largest)

    def better(best: Value, place: Value, other: Value, at: Value) -> tuple[Value, Value]:
        # The seed stands at the place -1 and loses to every element, also to those it is equal to.
        tie = ~before(best, other) & (at < place)
        wins = (place < 0) | ((at >= 0) & (before(other, best) | tie))
        return cx.select(wins, other, best), cx.select(wins, at, place)

    key, place = cx.reduce([value, places], [0, -1], better, axis)
    return key, place


@lowers("aten.kthvalue.default")
def kthvalue(cx: Context, self: Value, k: int, dim: int, keepdim: bool) -> tuple[Value, Value]:
    """The k-th smallest, counted from one."""
    if self.rank == 0:
        return self, _zeros(cx, ())
    values, places = sorted_with_indices(cx, self, dim, False)
    shape = cx.out.shape
    return tuple(cx.reshape(cx.slice_axis(v, dim, k - 1, k), shape) for v in (values, places))  # pyright: ignore[reportReturnType]


@lowers("aten.mode.default")
def mode(cx: Context, self: Value, dim: int, keepdim: bool) -> tuple[Value, Value]:
    """The most frequent element, the least of several, and its last place; each NaN counts by itself."""
    if self.rank == 0:
        return self, _zeros(cx, ())
    axis = cx.axis(dim, self.rank)
    size = self.shape[axis]
    if not 0 < size <= INSERTED:
        raise Unsupported(f"which place of the mode of {size} elements eager gives is not defined")
    keys, places = _sorted_by_insertion(cx, cx.move_axis(self, axis, -1))
    last = keys.rank - 1
    run = cx.iota(DType.INT32, keys.shape, last)
    opens = cx.slice_axis(keys, last, 1, size) != cx.slice_axis(keys, last, 0, size - 1)
    opens = cx.concatenate([cx.constant(True, DType.BOOL, (*keys.shape[:-1], 1)), opens], last)
    lengths = run - scan(cx, cx.select(opens, run, 0), last, cx.maximum)
    # The first of the longest: the place where a run ends, and the least of equally long ones.
    at = cx.unsqueeze(_extreme(cx, lengths, last, largest=True)[1], last)
    value, place = (
        cx.reshape(take_along(cx, v, at, last, inside=True), cx.out.shape) for v in (keys, places)
    )
    return value, place


def _sorted_by_insertion(cx: Context, keys: Value) -> tuple[Value, Value]:
    """Sorted along the last axis as the C++ library sorts so few, and where each came from: a NaN, which is
    neither less nor more, stops what is inserted behind it, unless that is less than the very first."""
    last, shape = keys.rank - 1, keys.shape
    slots = cx.iota(DType.INT64, shape, last)
    starts = cx.constant(0, DType.INT64)

    def insert(count: Value, keys: Value, places: Value) -> tuple[Value, ...]:
        new = cx.dynamic_slice(keys, [starts] * last + [count], [*shape[:-1], 1])
        stops = (slots < count) & ~(new < keys)
        slot = cx.reduce_max(cx.select(stops, slots + 1, 0), last, keepdim=True)
        slot = cx.select(new < cx.slice_axis(keys, last, 0, 1), 0, slot)

        def moved(value: Value, inserted: Value) -> Value:
            ahead = cx.concatenate(
                [cx.slice_axis(value, last, 0, 1), cx.slice_axis(value, last, 0, shape[-1] - 1)], last
            )
            shifted = cx.select((slots > slot) & (slots <= count), ahead, value)
            return cx.select(slots == slot, inserted, shifted)

        return count + 1, moved(keys, new), moved(places, cx.broadcast(count, slot.shape))

    state = (cx.constant(1, DType.INT64), keys, slots)
    return cx.while_loop(state, lambda count, *_: count < shape[-1], insert)[1:]  # pyright: ignore[reportReturnType]


@lowers("aten.median.dim", "aten.nanmedian.dim")
def median_dim(cx: Context, self: Value, dim: int, keepdim: bool) -> tuple[Value, Value]:
    """The lower of the two middle elements."""
    value, place = _median(cx, self, dim, ignore_nan="nanmedian" in cx.node.target)
    return cx.reshape(value, cx.out.shape), cx.reshape(place, cx.out.shape)


@lowers("aten.median.default")
def median(cx: Context, self: Value) -> Value:
    return _median_of_all(cx, self, ignore_nan=False)


@lowers("aten.nanmedian.default")
def nanmedian(cx: Context, self: Value) -> Value:
    return _median_of_all(cx, self, ignore_nan=True)


def _median_of_all(cx: Context, value: Value, ignore_nan: bool) -> Value:
    if not value.size:
        # Eager's median of nothing: NaN, or the smallest integer.
        raise Unsupported("the median of no elements")
    return cx.reshape(_median(cx, cx.reshape(value, (value.size,)), 0, ignore_nan)[0], ())


def _median(cx: Context, value: Value, dim: int, ignore_nan: bool) -> tuple[Value, Value]:
    """Along an axis, which keeps size 1. With a NaN among the elements, the first one, unless ignored."""
    if value.rank == 0:
        return value, _zeros(cx, ())
    axis = cx.axis(dim, value.rank)
    size = value.shape[axis]
    values, places = sorted_with_indices(cx, value, axis, False)
    if not value.dtype.is_floating:
        middle = (size - 1) // 2
        return tuple(cx.slice_axis(v, axis, middle, middle + 1) for v in (values, places))  # pyright: ignore[reportReturnType]
    missing = cx.reduce_sum(cx.convert(cx.is_nan(value), DType.INT64), axis, keepdim=True)
    if ignore_nan:
        place = cx.maximum(size - missing - 1, 0)
        place = cx.shift_right_logical(place, cx.constant(1, DType.INT64))
    else:
        place = cx.select(missing > 0, size - missing, (size - 1) // 2)
    return tuple(take_along(cx, v, place, axis, inside=True) for v in (values, places))  # pyright: ignore[reportReturnType]


# ---- searching ----


@lowers("aten.searchsorted.Tensor", "aten.searchsorted.Scalar")
def searchsorted(
    cx: Context,
    sorted_sequence: Value,
    self: Value | Scalar,
    right: bool,
    side: str | None,
    sorter: Value | None,
    out_int32: bool = False,
) -> Value:
    """Where each value would go: into one sequence, or row by row into as many."""
    if sorter is not None:
        sorted_sequence = take_along(cx, sorted_sequence, sorter, -1)
    return _search(cx, sorted_sequence, self, side == "right" if side is not None else right)


@lowers("aten.bucketize.Tensor", "aten.bucketize.Scalar")
def bucketize(
    cx: Context, self: Value | Scalar, boundaries: Value, right: bool, out_int32: bool = False
) -> Value:
    return _search(cx, boundaries, self, right)


def _search(cx: Context, sequence: Value, wanted: Value | Scalar, right: bool) -> Value:
    """Eager's binary search, step for step, so that NaN and the unsorted end where they do there."""
    dtype = cx.result_type(sequence, wanted)
    sequence, values = cx.as_value(sequence, dtype), cx.as_value(wanted, dtype)
    size, shape = sequence.shape[-1], cx.out.shape
    low = _zeros(cx, shape)
    # Of a size that turns out to be 0, no step is made.
    if not is_symbolic(size) and (not size or 0 in shape):
        return cx.convert(low, cx.out.dtype)
    high = cx.constant(size, DType.INT64, shape)

    def halved(low: Value, high: Value) -> tuple[Value, Value]:
        middle = low + cx.shift_right_logical(high - low, cx.constant(1, DType.INT64))
        probe = _at(cx, sequence, cx.minimum(middle, size - 1))
        ends = probe > values if right else probe >= values
        searching = low < high
        return (
            cx.select(searching & ~ends, middle + 1, low),
            cx.select(searching & ends, middle, high),
        )

    if is_symbolic(size):
        low, _ = cx.while_loop((low, high), lambda low, high: cx.reduce_or(low < high), halved)
    else:
        for _ in range(size.bit_length()):
            low, high = halved(low, high)
    return cx.convert(low, cx.out.dtype)


def _at(cx: Context, sequence: Value, positions: Value) -> Value:
    """Elements at positions that are there."""
    if sequence.rank == 1:
        return cx.take(sequence, positions)
    return take_along(cx, sequence, positions, -1, inside=True)
