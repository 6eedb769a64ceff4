"""Writing through views: slice_scatter, select_scatter, diagonal_scatter, fill_diagonal_ and the like."""

from __future__ import annotations

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.data_number import is_data_number
from lowering.stablehlo.ops.scattering import replace, scatter_flat
from lowering.stablehlo.ops.shape import embed_diagonal
from lowering.stablehlo.ops.slicing import at, place, slice_bounds, slice_start
from lowering.stablehlo.ops.strided import storage_index
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.value import Scalar, Shape, Value


@lowers("aten.slice_scatter.default")
def slice_scatter(
    cx: Context, self: Value, src: Value, dim: int, start: int | None, end: int | None, step: int
) -> Value:
    axis, size = cx.axis(dim, self.rank), self.shape[dim]
    src = cx.convert(src, self.dtype)
    if not src.size:
        return self
    if is_data_number(start) or is_data_number(end):
        first = slice_start(cx, start, size, src.shape[axis], step)
        return cx.dynamic_update_slice(self, src, at(first, axis, self.rank))
    low, _ = slice_bounds(start, end, size)
    if step == 1:
        return cx.dynamic_update_slice(self, src, at(low, axis, self.rank))
    position = cx.iota(DType.INT64, (size,)) - low
    last = low + (src.shape[axis] - 1) * step
    hit = (
        (position >= 0)
        & (position <= last - low)
        & (cx.remainder(position, cx.constant(step, DType.INT64)) == 0)
    )
    spread = cx.pad(
        src, _at(self, axis, low), _at(self, axis, size - last - 1), interior=_at(self, axis, step - 1)
    )
    return cx.select(cx.broadcast_in_dim(hit, self.shape, (axis,)), spread, self)


def _at(value: Value, axis: int, amount: int) -> list[int]:
    return [amount if a == axis else 0 for a in range(value.rank)]


@lowers("aten.select_scatter.default")
def select_scatter(cx: Context, self: Value, src: Value, dim: int, index: int) -> Value:
    axis = cx.axis(dim, self.rank)
    low = place(cx, index, self.shape[axis])
    row = cx.unsqueeze(cx.convert(src, self.dtype), axis)
    return cx.dynamic_update_slice(self, row, at(low, axis, self.rank)) if self.size else self


@lowers("aten.diagonal_scatter.default")
def diagonal_scatter(cx: Context, self: Value, src: Value, offset: int, dim1: int, dim2: int) -> Value:
    spread = embed_diagonal(cx, cx.convert(src, self.dtype), offset, dim1, dim2, self.shape)
    return cx.select(_on_diagonal(cx, self.shape, offset, dim1, dim2), spread, self)


def _on_diagonal(cx: Context, shape: Shape, offset: int, dim1: int, dim2: int) -> Value:
    row, column = (cx.iota(DType.INT64, shape, cx.axis(dim, len(shape))) for dim in (dim1, dim2))
    return row + offset == column


@lowers("aten.fill_diagonal_.default")
def fill_diagonal(cx: Context, self: Value, fill_value: Scalar, wrap: bool) -> Value:
    """All axes at one position; with `wrap`, a tall matrix's diagonal starts again after one row's gap."""
    if self.rank == 2 and wrap:
        rows, columns = self.shape
        flat = cx.reshape(cx.iota(DType.INT64, (self.size,)), (rows, columns))
        hit = cx.remainder(flat, cx.constant(columns + 1, DType.INT64)) == 0
    else:
        hit = _on_diagonal(cx, self.shape, 0, 0, 1)
        for axis in range(2, self.rank):
            hit = hit & _on_diagonal(cx, self.shape, 0, 0, axis)
    return cx.select(hit, fill_value, self)


@lowers("aten.as_strided_scatter.default")
def as_strided_scatter(
    cx: Context,
    self: Value,
    src: Value,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    storage_offset: int | None,
) -> Value:
    """Write through a strided view as `aten.as_strided` reads; the last write to a position stays."""
    if not src.size:
        return self
    positions = storage_index(cx, self, "self", size, stride, storage_offset)
    return scatter_flat(cx, self, positions, cx.convert(src, self.dtype), replace)
