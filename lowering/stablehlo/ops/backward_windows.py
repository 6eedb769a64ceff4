"""Gradients of what reads windows and single elements: poolings, resizing, padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.ops import resize
from lowering.stablehlo.ops.pooling import Sizes, _adaptive_windows, _counts, _divide, _Window
from lowering.stablehlo.registry import add_rules
from lowering.stablehlo.size_questions import fits
from lowering.stablehlo.symbolic import Specialised, any_symbolic
from lowering.stablehlo.value import Value, numpy_dtype

IN_HALVES = "eager adds up the halves of an input's gradient in halves"

# ------------------------------------------------------------------------------ to single elements


def add_at(cx: Context, grad: Value, indices: Value, sizes: Sequence[int]) -> Value:
    """[planes..., *sizes]: each element of `grad` added at its flat index of its plane.

    `indices` has the sizes of `grad`. In order and in the type of `grad`, as eager has it, also for halves.
    """
    axes, room = len(sizes), prod(sizes)
    lead = grad.shape[: grad.rank - axes]
    planes, count = prod(lead), prod(grad.shape[grad.rank - axes :])
    shape = (*lead, *sizes)
    if not grad.size or not room:
        return cx.constant(0, grad.dtype, shape)
    offsets = cx.iota(DType.INT64, (planes, 1)) * room
    flat = cx.reshape(cx.index_in(indices, room), (planes, count)) + offsets
    found = cx.scatter(
        cx.constant(0, grad.dtype, (planes * room,)),
        cx.reshape(flat, (planes * count, 1)),
        cx.reshape(grad, (planes * count,)),
        lambda old, new: old + new,
        update_window_dims=[],
        inserted_dims=[0],
        scatter_map=[0],
    )
    return cx.reshape(found, shape)


def _max_pool(axes: int) -> Callable:
    def backward(
        cx: Context, grad_output: Value, self: Value, kernel_size: Sizes, stride: Sizes, padding: Sizes,
        dilation: Sizes, ceil_mode: bool, indices: Value,
    ) -> Value:  # fmt: skip
        return add_at(cx, grad_output, indices, self.shape[-axes:])

    return backward


def _adaptive_max_pool(axes: int) -> Callable:
    def backward(cx: Context, grad_output: Value, self: Value, indices: Value) -> Value:
        return add_at(cx, grad_output, indices, self.shape[-axes:])

    return backward


# ------------------------------------------------------------------------------ to windows


def _avg_pool(axes: int) -> Callable:
    def backward(
        cx: Context, grad_output: Value, self: Value, kernel_size: Sizes, stride: Sizes, padding: Sizes,
        ceil_mode: bool, count_include_pad: bool, divisor_override: int | None,
    ) -> Value:  # fmt: skip
        window = _Window(self, grad_output.shape, kernel_size, stride, padding, 1, axes, ceil_mode)
        overlap = any(size > step for size, step in zip(window.kernel, window.stride, strict=True))
        if self.dtype.is_half and overlap:
            raise Unsupported(IN_HALVES)
        grad = cx.convert(grad_output, cx.compute_dtype(grad_output.dtype))
        if divisor_override is not None:
            grad = grad / divisor_override
        else:
            grad = _divide(cx, grad, [_counts(cx, window, axis, count_include_pad) for axis in range(axes)])
        return cx.convert(_spread(cx, grad, window), cx.out.dtype)

    return backward


def _spread(cx: Context, grad: Value, window: _Window) -> Value:
    """Each input element's sum over the windows that it lies in."""
    none, ones = [0] * window.leading, [1] * window.leading
    reach = [size - 1 for size in window.kernel]
    apart = [step - 1 for step in window.stride]
    apart = [*none, *apart]
    # Windows moving by one over the gradients spread out by the stride, every partial one included.
    wide = cx.pad(grad, [*none, *reach], [*none, *reach], 0, apart)
    flat = [1] * wide.rank
    edges = [(0, 0)] * wide.rank
    covered = cx.reduce_window(
        wide, 0, lambda a, b: a + b, [*ones, *window.kernel], flat, edges
    )[0]  # fmt: skip
    ends = [
        size + low - made
        for size, low, made in zip(window.sizes, window.padding, covered.shape[window.leading :], strict=True)
    ]
    return cx.pad(covered, [*none, *(-low for low in window.padding)], [*none, *ends])


# ------------------------------------------------------------------------------ weighted reads, backwards


def transposed(taps: resize.Taps, size: int) -> resize.Taps:
    """The readers of each of `size` elements, with their weights; NaN past the last reader.

    The other way round than `taps`: indices and weights [out, taps], a tap of weight NaN being none.
    """
    indices, weights = taps
    readers = np.broadcast_to(np.arange(len(indices))[:, None], indices.shape)[~np.isnan(weights)]
    sources, weights = indices[~np.isnan(weights)], weights[~np.isnan(weights)]
    order = np.argsort(sources, kind="stable")
    sources, readers, weights = sources[order], readers[order], weights[order]
    counts = np.bincount(sources, minlength=size)
    column = np.arange(len(sources)) - (np.cumsum(counts) - counts)[sources]
    width = max(int(counts.max(initial=0)), 1)
    found = np.zeros((size, width), np.int64), np.full((size, width), np.nan, weights.dtype)
    found[0][sources, column], found[1][sources, column] = readers, weights
    return found


def _back(
    cx: Context, grad: Value, taps: Sequence[resize.Taps], sizes: Sequence[int], terms: int | None = None
) -> Value:
    """The gradient of weighted reads along the last axes, by the taps of each; rounded once.

    `terms`: where eager rounds halves with every term, up to how many this does not show.
    """
    if not prod(cx.out.shape) or not grad.size:
        return cx.constant(0, cx.out.dtype, cx.out.shape)
    value = cx.convert(grad, cx.compute_dtype(grad.dtype))
    turned = [transposed(own, size) for own, size in zip(taps, sizes, strict=True)]
    most = prod(weights.shape[1] for _, weights in turned)
    if grad.dtype.is_half and terms is not None and most > terms:
        raise Unsupported(IN_HALVES)
    for place, (indices, weights) in enumerate(turned):
        axis = grad.rank - len(sizes) + place
        value = resize._ragged_sum(cx, value, axis, indices, weights.astype(numpy_dtype(value.dtype)))
    return cx.convert(value, cx.out.dtype)


def _adaptive_avg_pool(axes: int) -> Callable:
    def backward(cx: Context, grad_output: Value, self: Value) -> Value:
        if any_symbolic((*self.shape[-axes:], *grad_output.shape[-axes:])):
            raise Specialised("compilers sum its windows otherwise than at a plain size")
        taps = []
        for size, out in zip(self.shape[-axes:], grad_output.shape[-axes:], strict=True):
            places, inside = _adaptive_windows(size, out)
            taps.append((places, np.where(inside, 1 / inside.sum(axis=1, keepdims=True), np.nan)))
        return _back(cx, grad_output, taps, self.shape[-axes:], terms=1)

    return backward


def _resize(axes: int, taps_of: Callable[[resize._Axis], resize.Taps], terms: int | None = None) -> Callable:
    def backward(
        cx: Context,
        grad_output: Value,
        output_size: Sequence[int],
        input_size: Sequence[int],
        align_corners: bool = False,
        scales: float | None = None,
        scales_d: float | None = None,
        scales_h: float | None = None,
        scales_w: float | None = None,
    ) -> Value:
        factors = (scales,) if axes == 1 else (scales_d, scales_h, scales_w)[-axes:]
        real = np.dtype(np.float64 if grad_output.dtype is DType.FLOAT64 else np.float32)
        sizes = input_size[-axes:]
        own = zip(sizes, output_size, factors, strict=True)
        stored = numpy_dtype(grad_output.dtype)
        taps = [taps_of(resize._Axis(s, out, align_corners, f, real, stored)) for s, out, f in own]
        return _back(cx, grad_output, taps, sizes, terms)

    return backward


def _nearest(shift: float) -> Callable[[resize._Axis], resize.Taps]:
    return lambda axis: (resize.nearest(axis, shift)[:, None], np.ones((axis.out, 1), axis.real))


def _antialiased(filter: resize.Filter) -> Callable[[resize._Axis], resize.Taps]:
    return lambda axis: resize.antialiased(axis, filter)


def _edges_summed(cx: Context, grad: Value, axis: int, low: int, high: int, size: int) -> Value:
    """The gradient of one axis that was padded with its first and its last element."""
    value = cx.slice_axis(grad, axis, low, low + size)
    behind = [size - 1 if at == axis else 0 for at in range(grad.rank)]
    if low:
        before = cx.reduce_sum(cx.slice_axis(grad, axis, 0, low), axis, keepdim=True)
        value = cx.pad(before, [0] * grad.rank, behind) + value
    for at in range(low, low + high):
        # One after the other, as they are read.
        item = cx.slice_axis(grad, axis, size + at, size + at + 1)
        value = value + cx.pad(item, behind, [0] * grad.rank)
    return value


def _mirrors_summed(cx: Context, grad: Value, axis: int, low: int, high: int, size: int) -> Value:
    """The gradient of one axis that was padded with its mirror images."""

    def placed(start: int, count: int, before: int) -> Value:
        part = cx.reverse(cx.slice_axis(grad, axis, start, start + count), (axis,))
        lows = [before if at == axis else 0 for at in range(grad.rank)]
        highs = [size - before - count if at == axis else 0 for at in range(grad.rank)]
        return cx.pad(part, lows, highs)

    value = cx.slice_axis(grad, axis, low, low + size)
    if not (fits(low + 1, size) and fits(high + 1, size)):
        raise Unsupported("mirror images of more than there is")
    value = placed(0, low, 1) + value if low else value
    return value + placed(low + size, high, size - 1 - high) if high else value


# From positions relative to the input's first element to indices into it.
Source = Callable[[np.ndarray, int], np.ndarray]


def _pad(axes: int, source: Source, turned: Callable[..., Value]) -> Callable:
    def backward(cx: Context, grad_output: Value, self: Value, padding: Sequence[int]) -> Value:
        """`padding` names the last axis first."""
        outwards = all(by >= 0 for by in padding)
        if any_symbolic(self.shape[-axes:]) and not grad_output.dtype.is_half and outwards:
            value = grad_output
            for axis in range(axes):
                low, high = padding[2 * (axes - 1 - axis) : 2 * (axes - axis)]
                at = self.rank - axes + axis
                value = turned(cx, value, at, low, high, self.shape[at])
            return value
        taps = []
        for axis, size in enumerate(self.shape[-axes:]):
            low, high = padding[2 * (axes - 1 - axis) : 2 * (axes - axis)]
            indices = source(np.arange(-low, size + high), size)[:, None]
            taps.append((indices, np.ones(indices.shape)))
        return _back(cx, grad_output, taps, self.shape[-axes:], terms=2)

    return backward


def _edge(at: np.ndarray, size: int) -> np.ndarray:
    return np.clip(at, 0, size - 1)


def _mirrored(at: np.ndarray, size: int) -> np.ndarray:
    return size - 1 - np.abs(size - 1 - np.abs(at))


_RESIZED = (
    *((f"upsample_nearest{axes}d", _resize(axes, _nearest(0.0))) for axes in (1, 2, 3)),
    *((f"_upsample_nearest_exact{axes}d", _resize(axes, _nearest(0.5))) for axes in (1, 2, 3)),
    ("upsample_linear1d", _resize(1, resize.linear)),
    ("upsample_bilinear2d", _resize(2, resize.linear)),
    ("upsample_trilinear3d", _resize(3, resize.linear)),
    ("upsample_bicubic2d", _resize(2, resize.cubic, terms=1)),
    ("_upsample_bilinear2d_aa", _resize(2, _antialiased(resize.TRIANGLE))),
    ("_upsample_bicubic2d_aa", _resize(2, _antialiased(resize.CUBIC))),
)

add_rules((f"aten.max_pool{n}d_with_indices_backward.default", _max_pool(n)) for n in (2, 3))
add_rules((f"aten.adaptive_max_pool{n}d_backward.default", _adaptive_max_pool(n)) for n in (2, 3))
add_rules((f"aten.avg_pool{n}d_backward.default", _avg_pool(n)) for n in (2, 3))
add_rules((f"aten._adaptive_avg_pool{n}d_backward.default", _adaptive_avg_pool(n)) for n in (2, 3))
add_rules((f"aten.{name}_backward.default", emit) for name, emit in _RESIZED)
_PADDED = (("replication", _edge, _edges_summed), ("reflection", _mirrored, _mirrors_summed))
add_rules(
    (f"aten.{name}_pad{n}d_backward.default", _pad(n, source, turned))
    for name, source, turned in _PADDED
    for n in (1, 2, 3)
)
