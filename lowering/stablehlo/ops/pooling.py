"""Pooling: max, average, adaptive, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from lowering.ir.types import DType
from lowering.stablehlo.build.reduce import lowest
from lowering.stablehlo.context import Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.ops.spatial import per_axis
from lowering.stablehlo.registry import add_rules
from lowering.stablehlo.size_questions import at_least, most, same_size
from lowering.stablehlo.symbolic import any_symbolic, is_symbolic
from lowering.stablehlo.value import Scalar, Value, numpy_dtype

Sizes = int | Sequence[int]


class _Window:
    """A sliding window over the last `axes` axes, so placed that it gives exactly the sizes of `out`."""

    def __init__(
        self, value: Value, out: Sequence[int], kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes,
        axes: int, ceil_mode: bool,
    ) -> None:  # fmt: skip
        self.kernel = per_axis(kernel, axes)
        self.stride = per_axis(stride, axes) if stride != () else self.kernel
        self.padding = per_axis(padding, axes)
        self.dilation = per_axis(dilation, axes)
        self.sizes = value.shape[-axes:]
        self.out = tuple(out[-axes:])
        self.leading = value.rank - axes
        self.ceil_mode = ceil_mode

    def pads(self) -> list[tuple[int, int]]:
        """Per axis, what is before and what has to be behind the input for the last window (`ceil_mode`)."""
        pairs = [(0, 0)] * self.leading
        for axis, low in enumerate(self.padding):
            reach = (self.kernel[axis] - 1) * self.dilation[axis] + 1
            end = (self.out[axis] - 1) * self.stride[axis] + reach
            behind = at_least(end - low - self.sizes[axis], 0)
            # Without `ceil_mode` the padding asked for is enough, whatever the size.
            pairs.append((low, low if is_symbolic(behind) and not self.ceil_mode else behind))
        return pairs

    def reduce(
        self, cx: Context, values: Sequence[Value], inits: Sequence, body: Callable
    ) -> tuple[Value, ...]:
        ones, pads = [1] * self.leading, self.pads()
        if any_symbolic([high for _, high in pads]):
            # A window's own padding is plain numbers.
            lows, highs = zip(*pads, strict=True)
            values = [cx.pad(v, lows, highs, init) for v, init in zip(values, inits, strict=True)]
            pads = [(0, 0)] * len(pads)
        return cx.reduce_window(
            values, inits, body, [*ones, *self.kernel], [*ones, *self.stride], pads,
            [*ones, *self.dilation],
        )  # fmt: skip


def larger(cx: Context) -> Callable[..., tuple[Value, Value]]:
    """The body of an arg-max over (value, flat index) pairs, the order of which does not matter.

    The first of equal values wins; NaN wins over everything, the last NaN over others, as eager's loop
    `if (x > best || isnan(x))` has it.
    """

    def body(a: Value, ai: Value, b: Value, bi: Value) -> tuple[Value, Value]:
        a_nan, b_nan = cx.is_nan(a), cx.is_nan(b)
        take_b = (b_nan & (~a_nan | (bi > ai))) | (~a_nan & ((b > a) | ((b == a) & (bi < ai))))
        return cx.select(take_b, b, a), cx.select(take_b, bi, ai)

    return body


def _index_dtype(sizes: Sequence[int]) -> DType:
    """The dtype of flat indices of a plane."""
    return DType.INT32 if most(prod(sizes)) < 2**31 - 1 else DType.INT64


def _no_index(flat: DType) -> int:
    """An index behind every real one, which real elements therefore beat, also with -inf."""
    return int(np.iinfo(numpy_dtype(flat)).max)


def _max_pool(axes: int, with_indices: bool) -> Callable:
    def plain(
        cx: Context, self: Value, kernel_size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes,
        ceil_mode: bool,
    ) -> Value:  # fmt: skip
        window = _Window(self, cx.out.shape, kernel_size, stride, padding, dilation, axes, ceil_mode)
        return window.reduce(cx, [self], [lowest(self.dtype)], cx.maximum)[0]

    def indexed(
        cx: Context, self: Value, kernel_size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes,
        ceil_mode: bool,
    ) -> tuple[Value, Value]:  # fmt: skip
        window = _Window(self, cx.out.shape, kernel_size, stride, padding, dilation, axes, ceil_mode)
        flat = _index_dtype(window.sizes)
        plane = cx.reshape(cx.iota(flat, (prod(window.sizes),)), window.sizes)
        places = cx.broadcast(plane, self.shape)
        values, indices = window.reduce(cx, [self, places], [lowest(self.dtype), _no_index(flat)], larger(cx))
        return values, cx.convert(indices, DType.INT64)

    return indexed if with_indices else plain


def _avg_pool(axes: int) -> Callable:
    def pool(
        cx: Context, self: Value, kernel_size: Sizes, stride: Sizes, padding: Sizes, ceil_mode: bool,
        count_include_pad: bool, divisor_override: int | None = None,
    ) -> Value:  # fmt: skip
        window = _Window(self, cx.out.shape, kernel_size, stride, padding, 1, axes, ceil_mode)
        exact = cx.convert(self, cx.compute_dtype(self.dtype))
        total = window.reduce(cx, [exact], [0], lambda a, b: a + b)[0]
        if divisor_override is not None:
            return cx.convert(total / divisor_override, self.dtype)
        counts = [_counts(cx, window, axis, count_include_pad) for axis in range(axes)]
        return cx.convert(_divide(cx, total, counts), self.dtype)

    return pool


# How many elements the windows along an axis cover: integers of rank 1, of one element where all are equal.
Counts = np.ndarray | Value


def _counts(cx: Context, window: _Window, axis: int, include_padding: bool) -> Counts:
    """How many elements the windows along an axis cover: with the padding asked for, never what
    `ceil_mode` adds behind it."""
    if is_symbolic(window.out[axis]):
        if not window.ceil_mode and (include_padding or not window.padding[axis]):
            return np.array([window.kernel[axis]])
        return _counts_of_any(cx, window, axis, include_padding)
    start = np.arange(window.out[axis]) * window.stride[axis] - window.padding[axis]
    padded_end = window.sizes[axis] + window.padding[axis]
    end = np.minimum(start + window.kernel[axis], padded_end)
    if not include_padding:
        start, end = np.maximum(start, 0), np.minimum(end, window.sizes[axis])
    return end - start


def _counts_of_any(cx: Context, window: _Window, axis: int, include_padding: bool) -> Value:
    start = cx.iota(DType.INT64, (window.out[axis],)) * window.stride[axis] - window.padding[axis]
    end = cx.minimum(start + window.kernel[axis], window.sizes[axis] + window.padding[axis])
    if not include_padding:
        start, end = cx.maximum(start, 0), cx.minimum(end, window.sizes[axis])
    return end - start


def _divide(cx: Context, total: Value, counts: Sequence[Counts]) -> Value:
    """Divide by the product of per-axis counts; one scalar where they are all equal."""
    if any(isinstance(count, Value) for count in counts):
        shape, plane = total.shape[total.rank - len(counts) :], cx.constant(1, DType.INT64)
        for axis, count in enumerate(counts):
            along = count if isinstance(count, Value) else cx.array(count)
            fits = (axis,) if along.shape != (1,) or shape[axis] == 1 else ()
            along = along if fits else cx.reshape(along, ())
            plane = plane * cx.broadcast_in_dim(along, shape, fits)
        return total / cx.convert(plane, total.dtype)
    counts = [count for count in counts if isinstance(count, np.ndarray)]
    if all(count.size and (count == count[0]).all() for count in counts):
        return total / int(prod(int(count[0]) for count in counts))
    plane = counts[0]
    for count in counts[1:]:
        plane = plane[..., None] * count
    return total / cx.array(plane.astype(numpy_dtype(total.dtype)))


def _adaptive_windows(size: int, out: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows floor(i*size/out) .. ceil((i+1)*size/out): indices [out, widest], and which of them count."""
    step = np.arange(out)
    start, end = step * size // out, -(-(step + 1) * size // out)
    widest = int((end - start).max()) if out else 1
    places = start[:, None] + np.arange(widest)
    return np.minimum(places, size - 1), places < end[:, None]


def adaptive_windows_of_any(cx: Context, size: int, out: int) -> tuple[Value, Value, Value]:
    """`_adaptive_windows` of sizes that are known only at the call, as wide as can be; and their sizes."""
    step = cx.iota(DType.INT64, (out,))
    start, end = step * size / out, ((step + 1) * size + (out - 1)) / out
    places = cx.unsqueeze(start, 1) + cx.iota(DType.INT64, (out, (size + out - 1) // out + 1), 1)
    return cx.minimum(places, size - 1), places < cx.unsqueeze(end, 1), end - start


def _split(cx: Context, value: Value, axis: int, out: int, fill: Scalar) -> tuple[Value, Counts]:
    """Replace an axis by [out, widest window], `fill` outside the windows; also the windows' sizes."""
    size = value.shape[axis]
    if is_symbolic(size) and not same_size(size % out, 0):
        places, inside, counts = adaptive_windows_of_any(cx, size, out)
        taken = cx.take(value, places, axis)
        return cx.select(cx.broadcast_in_dim(inside, taken.shape, (axis, axis + 1)), taken, fill), counts
    if out and size % out == 0:
        shape = (*value.shape[:axis], out, size // out, *value.shape[axis + 1 :])
        if is_symbolic(size):
            return cx.reshape(value, shape), cx.constant(size // out, DType.INT64, (out,))
        return cx.reshape(value, shape), np.full(out, size // out)
    places, inside = _adaptive_windows(size, out)
    taken = cx.take(value, cx.array(places.astype(np.int32)), axis)
    mask = cx.broadcast_in_dim(cx.array(inside), taken.shape, (axis, axis + 1))
    return cx.select(mask, taken, fill), inside.sum(axis=1)


def _adaptive_avg_pool(axes: int) -> Callable:
    def pool(cx: Context, self: Value, output_size: Sizes) -> Value:
        first, counts = self.rank - axes, []
        if axes == 3 and self.dtype.is_half and cx.out.shape[first:] != (1, 1, 1):
            raise Unsupported("eager adds up the halves of three-dimensional windows in halves")
        total = cx.convert(self, cx.compute_dtype(self.dtype))
        if cx.out.shape[first:] == (1,) * axes:
            total = cx.reduce_sum(total, range(first, self.rank), keepdim=True)
            return cx.convert(total / prod(self.shape[first:]), self.dtype)
        for axis in range(first, self.rank):
            windows, count = _split(cx, total, axis, cx.out.shape[axis], 0)
            total = cx.reduce_sum(windows, axis + 1)
            counts.append(count)
        return cx.convert(_divide(cx, total, counts), self.dtype)

    return pool


def _adaptive_max_pool(axes: int) -> Callable:
    def pool(cx: Context, self: Value, output_size: Sizes) -> tuple[Value, Value]:
        first = self.rank - axes
        flat = _index_dtype(self.shape[first:])
        plane = cx.reshape(cx.iota(flat, (prod(self.shape[first:]),)), self.shape[first:])
        values, places = self, cx.broadcast(plane, self.shape)
        for axis in range(first, self.rank):
            out = cx.out.shape[axis]
            pair = [_split(cx, values, axis, out, lowest(self.dtype))[0],
                    _split(cx, places, axis, out, _no_index(flat))[0]]  # fmt: skip
            values, places = cx.reduce(pair, [lowest(self.dtype), _no_index(flat)], larger(cx), axis + 1)
        return values, cx.convert(places, DType.INT64)

    return pool


def _max_unpool(axes: int) -> Callable:
    def scatter(cx: Context, self: Value, indices: Value) -> Value:
        """Zeros with each element put at its flat index of its plane."""
        shape = cx.out.shape
        planes, room = prod(shape[:-axes]), prod(shape[-axes:])
        offsets = cx.iota(DType.INT64, (planes, 1)) * room
        flat = cx.reshape(cx.index_in(indices, room), (planes, prod(indices.shape[-axes:]))) + offsets
        result = cx.scatter(
            cx.constant(0, self.dtype, (planes * room,)),
            cx.reshape(flat, (self.size, 1)),
            cx.reshape(self, (self.size,)),
            lambda old, new: new,
            update_window_dims=[],
            inserted_dims=[0],
            scatter_map=[0],
        )
        return cx.reshape(result, shape)

    def plain(cx: Context, self: Value, indices: Value, output_size: Sizes) -> Value:
        return scatter(cx, self, indices)

    def strided(
        cx: Context, self: Value, indices: Value, output_size: Sizes, stride: Sizes, padding: Sizes
    ) -> Value:
        return scatter(cx, self, indices)

    return plain if axes == 2 else strided


add_rules((f"aten.max_pool{n}d.default", _max_pool(n, False)) for n in (1, 2, 3))
add_rules((f"aten.max_pool{n}d_with_indices.default", _max_pool(n, True)) for n in (1, 2, 3))
add_rules((f"aten.avg_pool{n}d.default", _avg_pool(n)) for n in (1, 2, 3))
add_rules((f"aten.adaptive_avg_pool{n}d.default", _adaptive_avg_pool(n)) for n in (1, 2, 3))
add_rules((f"aten._adaptive_avg_pool{n}d.default", _adaptive_avg_pool(n)) for n in (2, 3))
add_rules((f"aten.adaptive_max_pool{n}d.default", _adaptive_max_pool(n)) for n in (1, 2, 3))
add_rules((f"aten.max_unpool{n}d.default", _max_unpool(n)) for n in (2, 3))
