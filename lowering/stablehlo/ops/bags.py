"""Sums, means and maxima over bags of an embedding's rows; rows of bounded norm."""

from __future__ import annotations

from lowering.ir.types import DType
from lowering.stablehlo.build.reduce import Body
from lowering.stablehlo.context import ConcreteType, Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.value import Scalar, Shape, Value

SUM, MEAN, MAX = range(3)
INF = float("inf")


@lowers("aten._embedding_bag.default", "aten._embedding_bag_forward_only.default")
def embedding_bag(
    cx: Context,
    weight: Value,
    indices: Value,
    offsets: Value,
    scale_grad_by_freq: bool = False,
    mode: int = SUM,
    sparse: bool = False,
    per_sample_weights: Value | None = None,
    include_last_offset: bool = False,
    padding_idx: int = -1,
) -> tuple[Value, ...]:
    """Bag b holds the indices from `offsets[b]` to the next offset, or to the end; none counts if it is
    `padding_idx` (-1: no such).

    weight: [V, D]; indices: [n]; offsets: [B], or [B + 1] with the last one. Gives the result [B, D]; which
    bag each index is in ([n], or [0] where eager makes none); the bags' sizes (0 for sums); and once more
    these, or for maxima the index of each [B, D].
    """
    result, *notes = cx.outs
    bags, width = result.shape
    if not indices.size:
        return tuple(cx.constant(0, out.dtype, out.shape) for out in cx.outs)
    _check_offsets(cx, offsets, indices.size)
    bag = _bag_of_each(cx, offsets, indices.size)
    # Past the last bag: padding, and what lies behind the last offset.
    place = cx.unsqueeze(cx.select(indices != padding_idx, bag, bags), 1)
    sizes = _summed(cx, (bags,), place, cx.constant(1, DType.INT64, bag.shape))
    read = ConcreteType(weight.dtype, (indices.size, width))
    rows = cx.call("aten.embedding.default", weight, indices, outs=[read])
    if mode == MAX:
        value, which = _maxima(cx, rows, indices, place, result.shape)
    else:
        compute = cx.compute_dtype(weight.dtype)
        rows = cx.convert(rows, compute)
        if per_sample_weights is not None:
            rows = rows * cx.unsqueeze(cx.convert(per_sample_weights, compute), 1)
        value = _summed(cx, result.shape, place, rows)
        if mode == MEAN:
            value = value / cx.unsqueeze(cx.convert(cx.maximum(sizes, 1), compute), 1)
        else:
            # Of sums, eager notes no sizes: zeros for each bag, or for each offset.
            sizes = cx.constant(0, DType.INT64, notes[1].shape)
        which = sizes
    found = (value, cx.slice_axis(bag, 0, 0, notes[0].shape[0]), sizes, which)
    return tuple(_noted(cx, at, note) for at, note in enumerate(found))


def _check_offsets(cx: Context, offsets: Value, count: int) -> None:
    """Eager's errors where offsets do not begin with 0 or go past the indices."""
    (size,) = offsets.shape
    if not size:
        return
    first, last = cx.slice_axis(offsets, 0, 0, 1), cx.slice_axis(offsets, 0, size - 1, size)
    cx.fail_if(first != 0, "offsets[0] has to be 0")
    cx.fail_if(last > count, f"offsets[-1] can not be greater than input's length {count}")


def _noted(cx: Context, at: int, value: Value) -> Value:
    """A result as the program has it. With a last offset, torch promises other sizes than eager gives."""
    out = cx.outs[at]
    if value.shape == out.shape:
        return cx.convert(value, out.dtype)
    if cx.is_read(at):
        raise Unsupported(f"torch promises {list(out.shape)} of a note and eager gives {list(value.shape)}")
    return cx.constant(0, out.dtype, out.shape)


@lowers("aten.embedding_bag.default", "aten.embedding_bag.padding_idx")
def embedding_bag_composite(
    cx: Context,
    weight: Value,
    indices: Value,
    offsets: Value,
    scale_grad_by_freq: bool = False,
    mode: int = SUM,
    sparse: bool = False,
    per_sample_weights: Value | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> tuple[Value, ...]:
    """The same with a `padding_idx` that may be absent, or count from the end."""
    if padding_idx is None:
        padding_idx = -1
    elif padding_idx < 0:
        padding_idx += weight.shape[0]
    last = include_last_offset
    return embedding_bag(
        cx, weight, indices, offsets, False, mode, False, per_sample_weights, last, padding_idx
    )


def _bag_of_each(cx: Context, offsets: Value, count: int) -> Value:
    """The bag that each of `count` places lies in: as in eager, the number of offsets up to it, less one."""
    ones = cx.constant(1, DType.INT64, offsets.shape)
    begun = _summed(cx, (count,), cx.unsqueeze(cx.convert(offsets, DType.INT64), 1), ones)
    found = ConcreteType(DType.INT64, (count,))
    return cx.call("aten.cumsum.default", begun, 0, outs=[found]) - 1


def _summed(cx: Context, shape: Shape, place: Value, updates: Value) -> Value:
    """Sums of the rows in each bag."""
    return _into_bags(cx, 0, shape, place, updates, lambda a, b: a + b)


def _into_bags(cx: Context, fill: Scalar, shape: Shape, place: Value, updates: Value, body: Body) -> Value:
    """Combine `fill` with the rows that lie in each bag: [B, ...]. Those past the last bag are left out."""
    return cx.scatter(
        cx.constant(fill, updates.dtype, shape),
        place,
        updates,
        body,
        update_window_dims=[*range(1, updates.rank)],
        inserted_dims=[0],
        scatter_map=[0],
    )


def _maxima(cx: Context, rows: Value, indices: Value, place: Value, shape: Shape) -> tuple[Value, Value]:
    """The maxima [B, D] of each bag's rows, and the index of the first row that has each; 0 in empty bags.

    A NaN counts where it comes first in its bag, as in eager's comparisons.
    """
    count, bags = rows.shape[0], shape[0]
    bag = cx.minimum(cx.squeeze(place, 1), bags - 1)
    positions = cx.iota(DType.INT64, (count,))
    first = _into_bags(cx, count, (bags,), place, positions, cx.minimum)
    leads = cx.unsqueeze(cx.take(first, bag) == positions, 1)
    rows = cx.select(cx.is_nan(rows) & ~leads, -INF, rows)
    largest = _into_bags(cx, -INF, shape, place, rows, cx.maximum)
    wins = (rows == cx.take(largest, bag)) | cx.is_nan(rows)
    places = cx.select(wins, cx.broadcast(cx.unsqueeze(positions, 1), rows.shape), count)
    earliest = _into_bags(cx, count, shape, place, places, cx.minimum)
    which = cx.take(cx.convert(indices, DType.INT64), cx.minimum(earliest, count - 1))
    empty = cx.unsqueeze(first == count, 1)
    return cx.select(empty, 0, largest), cx.select(empty, 0, which)


@lowers("aten.embedding_renorm.default")
def embedding_renorm(cx: Context, self: Value, indices: Value, max_norm: float, norm_type: float) -> Value:
    """The weight [V, D] with the rows that are read scaled down to `max_norm` where theirs is larger."""
    if not indices.size or not self.size:
        return self
    index, compute = cx.reshape(indices, (indices.size,)), cx.compute_dtype(self.dtype)
    read = ConcreteType(self.dtype, (indices.size, self.shape[1]))
    rows = cx.call("aten.embedding.default", self, index, outs=[read])
    one_each = ConcreteType(self.dtype, (indices.size, 1))
    norms = cx.call("aten.linalg_vector_norm.default", rows, norm_type, (1,), True, outs=[one_each])
    norms = cx.convert(norms, compute)
    scaled = cx.convert(rows, compute) * (cx.constant(max_norm, compute, norms.shape) / (norms + 1e-7))
    rows = cx.select(norms > max_norm, cx.convert(scaled, self.dtype), rows)
    return cx.call("aten.index_copy.default", self, 0, index, rows, outs=[cx.out])
