"""Reshaping, moving, slicing, padding and joining of tensors, all with concrete sizes."""

from __future__ import annotations

from collections.abc import Sequence

from lowering.ir.types import DType
from lowering.stablehlo.hlo import stablehlo
from lowering.stablehlo.size_questions import same
from lowering.stablehlo.size_values import sizes_tensor
from lowering.stablehlo.symbolic import any_symbolic
from lowering.stablehlo.value import Scalar, Shape, Value, broadcast_in_dim, constant, tensor_type


def normalise_axis(axis: int, rank: int) -> int:
    """A possibly negative axis as 0..rank-1; a 0-d tensor counts as one axis, as in torch."""
    return axis + max(rank, 1) if axis < 0 else axis


def normalise_axes(axes: int | Sequence[int] | None, rank: int) -> tuple[int, ...]:
    """Sorted non-negative axes; None and () mean all of them."""
    if isinstance(axes, int):
        axes = (axes,)
    if not axes:
        return tuple(range(rank))
    return tuple(sorted(normalise_axis(axis, rank) for axis in axes)) if rank else ()


class Shapes:
    """Shape vocabulary. Axes may be negative."""

    def axis(self, axis: int, rank: int) -> int:
        return normalise_axis(axis, rank)

    def axes(self, axes: int | Sequence[int] | None, rank: int) -> tuple[int, ...]:
        """Sorted non-negative axes; None and () mean all of them."""
        return normalise_axes(axes, rank)

    def reshape(self, value: Value, shape: Sequence[int]) -> Value:
        """Row-major reshape; one size may be -1."""
        shape = tuple(shape)
        if -1 in shape:
            known = 1
            for size in shape:
                known *= size if size != -1 else 1
            shape = tuple(value.size // known if size == -1 else size for size in shape)
        if same(shape, value.shape):
            return value
        if any_symbolic(shape) or any_symbolic(value.shape):
            made = tensor_type(value.dtype, shape)
            return Value(stablehlo.dynamic_reshape(made, value.ir, sizes_tensor(shape)), shape)
        return Value(stablehlo.reshape(tensor_type(value.dtype, shape), value.ir))

    def unsqueeze(self, value: Value, *axes: int) -> Value:
        """Insert axes of size 1 at these positions of the result."""
        rank = value.rank + len(axes)
        places = {axis + rank if axis < 0 else axis for axis in axes}
        sizes = iter(value.shape)
        return self.reshape(value, [1 if axis in places else next(sizes) for axis in range(rank)])

    def squeeze(self, value: Value, *axes: int) -> Value:
        """Drop these axes, which have size 1."""
        places = {normalise_axis(axis, value.rank) for axis in axes}
        return self.reshape(value, [s for axis, s in enumerate(value.shape) if axis not in places])

    def transpose(self, value: Value, permutation: Sequence[int]) -> Value:
        """Axis i of the result is axis `permutation[i]` of `value`."""
        permutation = tuple(normalise_axis(axis, value.rank) for axis in permutation)
        if permutation == tuple(range(value.rank)):
            return value
        sizes = [value.shape[axis] for axis in permutation]
        return Value(stablehlo.transpose(value.ir, permutation), sizes)

    def move_axis(self, value: Value, source: int, destination: int) -> Value:
        order = [axis for axis in range(value.rank) if axis != normalise_axis(source, value.rank)]
        order.insert(normalise_axis(destination, value.rank), normalise_axis(source, value.rank))
        return self.transpose(value, order)

    def expand(self, value: Value, shape: Shape, axis: int) -> Value:
        """Undo a reduction over `axis`: insert it and stretch to `shape`."""
        dims = tuple(a for a in range(len(shape)) if a != normalise_axis(axis, len(shape)))
        return broadcast_in_dim(value, shape, dims)

    def slice(
        self, value: Value, start: Sequence[int], limit: Sequence[int], stride: Sequence[int] | None = None
    ) -> Value:
        """`value[start:limit:stride]` on every axis; bounds are within the sizes."""
        stride = stride or [1] * value.rank
        whole = not any_symbolic(start) and not any(start) and same(limit, value.shape)
        if whole and all(step == 1 for step in stride):
            return value
        if any_symbolic((*value.shape, *start, *limit, *stride)):
            sizes = [-(-(b - a) // c) for a, b, c in zip(start, limit, stride, strict=True)]
            bounds = [sizes_tensor(part) for part in (start, limit, stride)]
            made = tensor_type(value.dtype, tuple(sizes))
            return Value(stablehlo.real_dynamic_slice(made, value.ir, *bounds), sizes)
        return Value(stablehlo.slice(value.ir, list(start), list(limit), list(stride)))

    def slice_axis(self, value: Value, axis: int, start: int, limit: int, stride: int = 1) -> Value:
        """`value[start:limit:stride]` on one axis; bounds are within the size."""
        axis = normalise_axis(axis, value.rank)
        starts, limits, strides = [0] * value.rank, list(value.shape), [1] * value.rank
        starts[axis], limits[axis], strides[axis] = start, limit, stride
        return self.slice(value, starts, limits, strides)

    def pad(
        self,
        value: Value,
        low: Sequence[int],
        high: Sequence[int],
        fill: Value | Scalar = 0,
        interior: Sequence[int] | None = None,
    ) -> Value:
        """Pad each axis (negative amounts crop) with `fill`, a scalar or a 0-d Value of the same dtype."""
        interior = interior or [0] * value.rank
        amounts = (*low, *high, *interior)
        if not any_symbolic(amounts) and not any(amounts):
            return value
        if not isinstance(fill, Value):
            fill = constant(fill, value.dtype)
        sizes = [
            size + before + after + (gap * (size - 1) if gap else 0)
            for size, before, after, gap in zip(value.shape, low, high, interior, strict=True)
        ]
        if any_symbolic(amounts):
            padding = [sizes_tensor(part) for part in (low, high, interior)]
            made = tensor_type(value.dtype, tuple(sizes))
            return Value(stablehlo.dynamic_pad(made, value.ir, fill.ir, *padding), sizes)
        return Value(stablehlo.pad(value.ir, fill.ir, list(low), list(high), list(interior)), sizes)

    def concatenate(self, values: Sequence[Value], axis: int) -> Value:
        """Join along an axis; all of one dtype."""
        if len(values) == 1:
            return values[0]
        axis = normalise_axis(axis, values[0].rank)
        sizes = list(values[0].shape)
        for value in values[1:]:
            sizes[axis] += value.shape[axis]
        return Value(stablehlo.concatenate([v.ir for v in values], axis), sizes)

    def reverse(self, value: Value, axes: Sequence[int]) -> Value:
        axes = sorted({normalise_axis(axis, value.rank) for axis in axes})
        return Value(stablehlo.reverse(value.ir, axes), value.shape) if axes and value.rank else value

    def iota(self, dtype: DType, shape: Shape, axis: int = 0) -> Value:
        """0, 1, 2, ... along one axis."""
        if dtype is DType.BOOL:
            raise TypeError("iota has no bool")
        if any_symbolic(shape):
            made = stablehlo.dynamic_iota(tensor_type(dtype, shape), sizes_tensor(shape), axis)
            return Value(made, shape)
        return Value(stablehlo.iota(tensor_type(dtype, shape), axis))
