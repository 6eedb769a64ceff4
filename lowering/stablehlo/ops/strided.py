"""Windows of an axis, and views of any strides: elements by their places in storage."""

from __future__ import annotations

from collections.abc import Sequence

from lowering.ir.types import DType, contiguous_strides
from lowering.stablehlo.context import Context
from lowering.stablehlo.data_number import is_data_number
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.ops.shape import with_copies
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.size_questions import fits, same_size
from lowering.stablehlo.symbolic import is_symbolic
from lowering.stablehlo.value import Value

_OUTSIDE = "as_strided that reaches outside of its input into the storage under it"


@lowers(*with_copies("aten.unfold.default"))
def unfold(cx: Context, self: Value, dimension: int, size: int, step: int) -> Value:
    """Windows of `size` every `step` along an axis, their elements along a new last axis."""
    value = self if self.rank else cx.reshape(self, (1,))
    axis = cx.axis(dimension, value.rank)
    if 0 in cx.out.shape:
        return cx.constant(0, self.dtype, cx.out.shape)
    count = cx.out.shape[axis] if self.rank else 1
    grid = (count, size)
    index = cx.iota(DType.INT64, grid, 0) * step + cx.iota(DType.INT64, grid, 1)
    return cx.reshape(cx.move_axis(cx.take(value, index, axis), axis + 1, -1), cx.out.shape)


@lowers(*with_copies("aten.as_strided.default"))
def as_strided(
    cx: Context,
    self: Value,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    storage_offset: int | None,
) -> Value:
    return strided(cx, self, "self", size, stride, storage_offset)


def strided(
    cx: Context,
    value: Value,
    argument: str,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    storage_offset: int | None,
) -> Value:
    """Elements of the storage under an argument of the node, at `offset + sum(i * stride)`."""
    if 0 in size:
        return cx.constant(0, value.dtype, cx.out.shape)
    index = storage_index(cx, value, argument, size, stride, storage_offset)
    return cx.take(cx.reshape(value, (value.size,)), index)


def storage_index(
    cx: Context,
    value: Value,
    argument: str,
    size: Sequence[int],
    stride: Sequence[int],
    storage_offset: int | None,
) -> Value:
    """Positions (int64, of shape `size`) in the flattened value of an argument, of an as_strided view of it.

    The view speaks of the storage under the argument, a rule has only its elements: Unsupported unless those
    lie row-major in it and hold all that the view reaches.
    """
    strides, offset = cx.layout(argument)
    reach = sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    dense = contiguous_strides(value.shape)
    own = zip(value.shape, strides, dense, strict=True)
    if any((is_symbolic(s) or s > 1) and not same_size(a, b) for s, a, b in own):
        raise Unsupported("as_strided of a tensor that is not contiguous")
    shape = tuple(size)
    if is_data_number(storage_offset):
        first = storage_offset.value - offset
        last = value.size - 1 - reach
        if last < 0:
            raise Unsupported(_OUTSIDE)
        cx.fail_if((first < 0) | (first > last), _OUTSIDE)
        index = cx.broadcast_in_dim(cx.clamp(0, first, last), shape, ())
    else:
        start = (offset if storage_offset is None else storage_offset) - offset
        if start < 0 or not fits(start + reach + 1, value.size):
            raise Unsupported(_OUTSIDE)
        index = cx.constant(start, DType.INT64, shape)
    for axis, step in enumerate(stride):
        if shape[axis] != 1 and step:
            index = index + cx.iota(DType.INT64, shape, axis) * step
    return index
