"""Membership, and what counts decide: the places of non-zeros, repeated elements."""

from __future__ import annotations

from lowering.ir.types import DType
from lowering.stablehlo.context import ConcreteType, Context
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.size_questions import most
from lowering.stablehlo.value import Scalar, Shape, Value

# Up to this many wanted elements, each element is compared with all; then they are sorted and searched.
MAX_COMPARED = 32

INT64 = DType.INT64


def running_sum(cx: Context, value: Value) -> Value:
    """Inclusive, of a vector of int64."""
    return cx.call("aten.cumsum.default", value, 0, outs=[ConcreteType(INT64, value.shape)])


# ---- membership ----


@lowers("aten.isin.Tensor_Tensor", "aten.isin.Tensor_Scalar", "aten.isin.Scalar_Tensor")
def isin(
    cx: Context,
    elements: Value | None = None,
    test_elements: Value | None = None,
    assume_unique: bool = False,
    invert: bool = False,
    element: Scalar | None = None,
    test_element: Scalar | None = None,
) -> Value:
    """Whether each element is among the wanted ones; NaN is not."""
    given = elements if elements is not None else element
    wanted = test_elements if test_elements is not None else test_element
    assert given is not None
    assert wanted is not None
    dtype = cx.result_type(given, wanted)
    values = cx.broadcast(cx.as_value(given, dtype), cx.out.shape)
    targets = cx.as_value(wanted, dtype)
    found = _is_among(cx, values, cx.reshape(targets, (targets.size,)))
    return ~found if invert else found


def _is_among(cx: Context, values: Value, targets: Value) -> Value:
    if not targets.size or not values.size:
        return cx.constant(False, DType.BOOL, values.shape)
    if most(targets.size) <= MAX_COMPARED:
        return cx.reduce_or(cx.unsqueeze(values, -1) == targets, values.rank)
    both = [ConcreteType(targets.dtype, targets.shape), ConcreteType(INT64, targets.shape)]
    ordered, _ = cx.call("aten.sort.default", targets, outs=both)
    places = ConcreteType(INT64, values.shape)
    found = cx.call("aten.searchsorted.Tensor", ordered, values, outs=[places])
    return cx.take(ordered, cx.minimum(found, targets.size - 1)) == values


# ---- places of non-zeros ----


@lowers("aten.nonzero_static.default")
def nonzero_static(cx: Context, self: Value, size: int, fill_value: int) -> Value:
    """The indices [size, rank] of the first non-zeros in row-major order, the rest filled up."""
    if 0 in cx.out.shape or not self.size:
        return cx.constant(fill_value, INT64, cx.out.shape)
    hit = cx.reshape(cx.convert(self, DType.BOOL), (self.size,))
    rank = running_sum(cx, cx.convert(hit, INT64)) - 1
    # All others go to a place that is out of bounds.
    places = cx.scatter(
        cx.constant(-1, INT64, (size,)),
        cx.unsqueeze(cx.select(hit, rank, size), 1),
        cx.iota(INT64, (self.size,)),
        lambda old, new: new,
        update_window_dims=[],
        inserted_dims=[0],
        scatter_map=[0],
    )
    columns = [cx.unsqueeze(c, 1) for c in _unravelled(cx, cx.maximum(places, 0), self.shape)]
    found = cx.unsqueeze(places >= 0, 1)
    return cx.select(found, cx.concatenate(columns, 1), fill_value)


def _unravelled(cx: Context, places: Value, shape: Shape) -> list[Value]:
    """Row-major positions as one index per axis."""
    columns: list[Value] = []
    for size in reversed(shape):
        columns.append(cx.remainder(places, size))
        places = places / size
    return columns[::-1]


# ---- repetition ----


@lowers("aten.repeat_interleave.Tensor")
def repeat_interleave(cx: Context, repeats: Value, output_size: int | None = None) -> Value:
    """Each position of `repeats` as often as it says; `output_size` is their sum."""
    total = cx.out.shape[0]
    if not total:
        return cx.constant(0, repeats.dtype, (0,))
    return cx.convert(_sources(cx, cx.convert(repeats, INT64), total), cx.out.dtype)


@lowers("aten.repeat_interleave.self_Tensor")
def repeat_interleave_elements(
    cx: Context, self: Value, repeats: Value, dim: int | None = None, output_size: int | None = None
) -> Value:
    """Each row along `dim` (without one: each element) as often as `repeats` says, or all equally often."""
    value = self if dim is not None and self.rank else cx.reshape(self, (self.size,))
    axis = cx.axis(dim or 0, value.rank)
    total = cx.out.shape[axis]
    if not cx.out.shape or 0 in cx.out.shape:
        return cx.constant(0, self.dtype, cx.out.shape)
    often = cx.broadcast(cx.convert(repeats, INT64), (value.shape[axis],))
    return cx.take(value, _sources(cx, often, total), axis)


def _sources(cx: Context, repeats: Value, total: int) -> Value:
    """Which position each of `total` results repeats: as many as end at or before it."""
    if not repeats.size:
        return cx.constant(0, INT64, (total,))
    ends = running_sum(cx, repeats)
    cx.fail_if(repeats < 0, "repeats can not be negative")
    last = cx.slice_axis(ends, 0, repeats.size - 1, repeats.size)
    cx.fail_if(last != total, "allocated size does not match required size")
    out = ConcreteType(INT64, (total,))
    found = cx.call("aten.searchsorted.Tensor", ends, cx.iota(INT64, (total,)), right=True, outs=[out])
    return cx.minimum(found, repeats.size - 1)
