"""Reading by index: index, gather, index_select, embedding, masked reads."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.value import Scalar, Shape, Value

Indices = Sequence[Value | None]

MASKS = (DType.BOOL, DType.UINT8)


# ---- several index tensors ----


@lowers("aten.index.Tensor", "aten._unsafe_index.Tensor")
def index(cx: Context, self: Value, indices: Indices) -> Value:
    """`self[indices]`: index tensors broadcast, negative ones count from the end.

    The axes they make stand where the indexed ones stood if those are neighbours, else in front.
    """
    if any(item is not None and item.dtype in MASKS for item in indices):
        raise Unsupported("how many elements a mask picks is known only once the data is")
    return take_many(cx, self, indices)


@lowers("aten._unsafe_masked_index.default")
def unsafe_masked_index(cx: Context, self: Value, mask: Value, indices: Indices, fill: Scalar) -> Value:
    """`self[indices]` where the mask holds, `fill` elsewhere; indices are clamped first."""
    if 0 in self.shape:
        return cx.constant(fill, self.dtype, cx.out.shape)
    return cx.select(mask, take_many(cx, self, clamped(cx, self, indices)), fill)


def clamped(cx: Context, value: Value, indices: Indices) -> list[Value | None]:
    return [
        item if item is None else cx.clamp(0, item, value.shape[axis] - 1)
        for axis, item in enumerate(indices)
    ]


def take_many(cx: Context, value: Value, indices: Indices) -> Value:
    """The gather of `index`. `indices` has an entry for each of the first axes."""
    axes = [axis for axis, item in enumerate(indices) if item is not None]
    if not axes:
        return value
    starts = index_vectors(cx, value, indices)
    grid = starts.shape[:-1]
    place = axes[0] if axes[-1] - axes[0] + 1 == len(axes) else 0
    kept = [size for axis, size in enumerate(value.shape) if axis not in axes]
    shape = (*kept[:place], *grid, *kept[place:])
    if 0 in shape or 0 in value.shape:
        return cx.constant(0, value.dtype, shape)
    return cx.gather(
        value,
        starts,
        slice_sizes=[1 if axis in axes else size for axis, size in enumerate(value.shape)],
        offset_dims=[*range(place), *range(place + len(grid), len(shape))],
        collapsed_dims=axes,
        start_map=axes,
    )


def index_vectors(cx: Context, value: Value, indices: Indices) -> Value:
    """The index tensors broadcast together, wrapped, and stacked along a new last axis (int64)."""
    used = [(axis, item) for axis, item in enumerate(indices) if item is not None]
    grid = cx.broadcast_shapes(*(item.shape for _, item in used))
    columns = []
    for axis, item in used:
        wrapped = cx.index_in(item, value.shape[axis], negative=True)
        columns.append(cx.unsqueeze(cx.broadcast(wrapped, grid), -1))
    return cx.concatenate(columns, -1)


# ---- one index along one axis ----


@lowers("aten.index_select.default")
def index_select(cx: Context, self: Value, dim: int, index: Value) -> Value:
    """Whole rows along an axis."""
    return cx.reshape(_rows(cx, _axial(cx, self), _axial(cx, index), dim), cx.out.shape)


def _axial(cx: Context, value: Value) -> Value:
    """A 0-d tensor as one of one element."""
    return value if value.rank else cx.reshape(value, (1,))


def _rows(cx: Context, value: Value, index: Value, dim: int) -> Value:
    axis = cx.axis(dim, value.rank)
    shape = (*value.shape[:axis], *index.shape, *value.shape[axis + 1 :])
    if 0 in shape:
        return cx.constant(0, value.dtype, shape)
    return cx.take(value, cx.index_in(index, value.shape[axis]), axis)


@lowers("aten.embedding.default")
def embedding(
    cx: Context,
    weight: Value,
    indices: Value,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Value:
    """Rows of `weight`; the other arguments matter to the gradient only."""
    return _rows(cx, weight, indices, 0)


@lowers("aten.gather.default")
def gather(cx: Context, self: Value, dim: int, index: Value, sparse_grad: bool = False) -> Value:
    """`self` at the index along `dim`, at the index's own position along the other axes."""
    return cx.reshape(take_along(cx, _axial(cx, self), _axial(cx, index), dim), cx.out.shape)


@lowers("aten.take_along_dim.default")
def take_along_dim(cx: Context, self: Value, indices: Value, dim: int | None) -> Value:
    """`gather` of operands that broadcast along all other axes; without `dim`, of both flattened.

    Unlike `gather` it counts negative indices from the end.
    """
    size = self.size if dim is None else self.shape[cx.axis(dim, self.rank)]
    indices = cx.select(indices < 0, indices + size, indices)
    if dim is None:
        return take_along(cx, cx.reshape(self, (self.size,)), cx.reshape(indices, (indices.size,)), 0)
    axis = cx.axis(dim, self.rank)
    stretched = list(cx.broadcast_shapes(*(without(v.shape, axis) for v in (self, indices))))
    shapes = [(*stretched[:axis], v.shape[axis], *stretched[axis:]) for v in (self, indices)]
    return take_along(cx, cx.broadcast(self, shapes[0]), cx.broadcast(indices, shapes[1]), axis)


def without(shape: Shape, axis: int) -> Shape:
    return (*shape[:axis], *shape[axis + 1 :])


def take_along(cx: Context, value: Value, index: Value, dim: int, inside: bool = False) -> Value:
    """`gather` of tensors with axes, as a read of the flattened `value`.

    `inside`: whether the rule knows that no index is out of bounds, also where the module does not tell.
    """
    if not index.size or not value.size:
        return cx.constant(0, value.dtype, index.shape)
    return cx.take(cx.reshape(value, (value.size,)), flat_positions(cx, value.shape, index, dim, inside))


def flat_positions(cx: Context, shape: Shape, index: Value, dim: int, inside: bool = False) -> Value:
    """Row-major positions (int64) in a tensor of `shape` that `gather` and `scatter` mean by an index."""
    axis = cx.axis(dim, len(shape))
    result = cx.index_in(index, shape[axis], inside=inside)
    if (step := prod(shape[axis + 1 :])) != 1:
        result = result * step
    for other, size in enumerate(index.shape):
        if other != axis and size != 1:
            result = result + cx.iota(DType.INT64, index.shape, other) * prod(shape[other + 1 :])
    return result


@lowers("aten.take.default")
def take(cx: Context, self: Value, index: Value) -> Value:
    """Elements of the flattened tensor; negative positions count from the end."""
    if not index.size:
        return cx.constant(0, self.dtype, cx.out.shape)
    position = cx.index_in(index, self.size, negative=True)
    return cx.take(cx.reshape(self, (self.size,)), position)
