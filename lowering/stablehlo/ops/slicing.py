"""Slices, narrowed axes and selected places, which numbers from the data may tell."""

from __future__ import annotations

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.data_number import is_data_number
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.ops.shape import with_copies
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.size_questions import at_least, at_most, surely_less
from lowering.stablehlo.symbolic import any_symbolic
from lowering.stablehlo.value import Value


@lowers(*with_copies("aten.slice.Tensor"))
def slice_(cx: Context, self: Value, dim: int, start: int | None, end: int | None, step: int) -> Value:
    if is_data_number(start) or is_data_number(end):
        axis = cx.axis(dim, self.rank)
        low = slice_start(cx, start, self.shape[axis], cx.out.shape[axis], step)
        return cx.dynamic_slice(self, at(low, axis, self.rank), cx.out.shape)
    low, high = slice_bounds(start, end, self.shape[dim])
    return cx.slice_axis(self, dim, low, high, step)


def slice_start(cx: Context, start: object, size: int, length: int, step: int) -> Value | int:
    """The first place of a slice of a known length, whose ends only the data tells: eager's IndexError where
    that many elements do not follow it."""
    if step != 1:
        raise Unsupported("a slice in steps, whose ends only the data tells")
    if not is_data_number(start):
        low, _ = slice_bounds(start if isinstance(start, int) else None, None, size)
        return low
    low = start.value
    return cx.index_in(cx.select(low < 0, low + size, low), size - length + 1)


def place(cx: Context, index: int, size: int) -> Value | int:
    """An index, which may count from the end, as a place on an axis of this size."""
    if is_data_number(index):
        return cx.index_in(index.value, size, negative=True)
    return index + size if index < 0 else index


def at(low: Value | int, axis: int, rank: int) -> list[Value | int]:
    """The starts of a window that begins at `low` on one axis and covers the others."""
    return [low if a == axis else 0 for a in range(rank)]


def slice_bounds(start: int | None, end: int | None, size: int) -> tuple[int, int]:
    """Python's reading of `start:end` on an axis of this size, with an empty range as (low, low)."""
    if not any_symbolic((start, end, size)):
        low, high, _ = slice(start, end).indices(size)
        return low, max(low, high)
    low, high = (
        at_least(bound + size, 0) if surely_less(bound, 0) else at_most(bound, size)
        for bound in (start if start is not None else 0, end if end is not None else size)
    )
    return low, at_least(high, low)


@lowers("aten.narrow.default", "aten.narrow_copy.default")
def narrow(cx: Context, self: Value, dim: int, start: int, length: int) -> Value:
    if is_data_number(start):
        return narrow_tensor(cx, self, dim, start.value, length)
    low = start + self.shape[dim] if start < 0 else start
    return cx.slice_axis(self, dim, low, low + length)


@lowers("aten.narrow.Tensor")
def narrow_tensor(cx: Context, self: Value, dim: int, start: Value, length: int) -> Value:
    axis = cx.axis(dim, self.rank)
    low = cx.convert(cx.reshape(start, ()), DType.INT64)
    low = cx.index_in(cx.select(low < 0, low + self.shape[axis], low), self.shape[axis] - length + 1)
    return cx.dynamic_slice(self, at(low, axis, self.rank), cx.out.shape)


@lowers(*with_copies("aten.select.int"))
def select(cx: Context, self: Value, dim: int, index: int) -> Value:
    axis = cx.axis(dim, self.rank)
    low = place(cx, index, self.shape[axis])
    if isinstance(low, Value):
        sizes = [1 if a == axis else size for a, size in enumerate(self.shape)]
        return cx.reshape(cx.dynamic_slice(self, at(low, axis, self.rank), sizes), cx.out.shape)
    return cx.reshape(cx.slice_axis(self, dim, low, low + 1), cx.out.shape)
