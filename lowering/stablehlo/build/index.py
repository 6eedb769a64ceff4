"""Indexing: gathers, scatters and dynamic slices. Rules pass a program's indices through `index_in` first."""

from __future__ import annotations

from collections.abc import Sequence

from lowering.ir.module import CheckKind
from lowering.ir.types import DType
from lowering.stablehlo import hlo
from lowering.stablehlo.bounds import interval
from lowering.stablehlo.build.reduce import Body, fill_region
from lowering.stablehlo.build.shape import Shapes, normalise_axis
from lowering.stablehlo.hlo import stablehlo
from lowering.stablehlo.size_questions import at_least, surely_less
from lowering.stablehlo.size_values import sizes_tensor
from lowering.stablehlo.symbolic import any_symbolic, is_symbolic
from lowering.stablehlo.value import Value, binary, constant, tensor_type


class Indexing(Shapes):
    """Indexing vocabulary."""

    def take(self, value: Value, indices: Value, axis: int = 0) -> Value:
        """`value.index_select` with indices of any rank: their axes replace `axis` in the result."""
        axis = normalise_axis(axis, value.rank)
        rank = indices.rank
        sizes = list(value.shape)
        sizes[axis] = 1
        offset = [*range(axis), *range(axis + rank, value.rank + rank - 1)]
        return self.gather(
            value,
            self.reshape(indices, (*indices.shape, 1)),
            slice_sizes=sizes,
            offset_dims=offset,
            collapsed_dims=[axis],
            start_map=[axis],
        )

    def gather(
        self,
        value: Value,
        indices: Value,
        *,
        slice_sizes: Sequence[int],
        offset_dims: Sequence[int],
        collapsed_dims: Sequence[int],
        start_map: Sequence[int],
        batch_dims: tuple[Sequence[int], Sequence[int]] = ((), ()),
    ) -> Value:
        """StableHLO's gather; the index vector is the last axis of `indices`. Out-of-bounds starts clamp."""
        numbers = stablehlo.GatherDimensionNumbers.get(
            offset_dims=list(offset_dims),
            collapsed_slice_dims=list(collapsed_dims),
            operand_batching_dims=list(batch_dims[0]),
            start_indices_batching_dims=list(batch_dims[1]),
            start_index_map=list(start_map),
            index_vector_dim=indices.rank - 1,
        )
        dropped = {*collapsed_dims, *batch_dims[0]}
        window = iter([size for axis, size in enumerate(slice_sizes) if axis not in dropped])
        rows = iter(indices.shape[:-1])
        rank = len(offset_dims) + indices.rank - 1
        sizes = tuple(next(window) if axis in offset_dims else next(rows) for axis in range(rank))
        if any_symbolic(slice_sizes):
            made = tensor_type(value.dtype, sizes)
            return Value(
                hlo.dynamic_gather(made, value.ir, indices.ir, sizes_tensor(slice_sizes), numbers), sizes
            )
        return Value(stablehlo.gather(value.ir, indices.ir, numbers, list(slice_sizes)), sizes)

    def scatter(
        self,
        value: Value,
        indices: Value,
        updates: Value,
        body: Body,
        *,
        update_window_dims: Sequence[int],
        inserted_dims: Sequence[int],
        scatter_map: Sequence[int],
        batch_dims: tuple[Sequence[int], Sequence[int]] = ((), ()),
        unique: bool = False,
    ) -> Value:
        """StableHLO's scatter; `body(old, update)`; the index vector is the last axis of `indices`.

        Out-of-bounds updates are dropped.
        """
        numbers = stablehlo.ScatterDimensionNumbers.get(
            update_window_dims=list(update_window_dims),
            inserted_window_dims=list(inserted_dims),
            input_batching_dims=list(batch_dims[0]),
            scatter_indices_batching_dims=list(batch_dims[1]),
            scattered_dims_to_operand_dims=list(scatter_map),
            index_vector_dim=indices.rank - 1,
        )
        op = stablehlo.ScatterOp(
            [tensor_type(value.dtype, value.shape)],
            [value.ir],
            indices.ir,
            [updates.ir],
            numbers,
            unique_indices=unique,
        )
        fill_region(op.regions[0], [value.dtype, value.dtype], body)
        return Value(op.results[0], value.shape)

    def dynamic_slice(self, value: Value, starts: Sequence[Value | int], sizes: Sequence[int]) -> Value:
        """A window of these sizes at 0-d starts of one integer dtype; clamped into bounds."""
        if any_symbolic((*value.shape, *sizes)):
            return self._dynamic_window(value, starts, sizes)
        return Value(stablehlo.dynamic_slice(value.ir, self._starts(starts), list(sizes)))

    def dynamic_update_slice(self, value: Value, update: Value, starts: Sequence[Value | int]) -> Value:
        """`value` with a window replaced; the window is clamped into bounds."""
        made = stablehlo.dynamic_update_slice(value.ir, update.ir, self._starts(starts))
        return Value(made, value.shape)

    def _dynamic_window(self, value: Value, starts: Sequence[Value | int], sizes: Sequence[int]) -> Value:
        """StableHLO's dynamic_slice has plain sizes: a gather of one window."""
        dtype = next((s.dtype for s in starts if isinstance(s, Value)), DType.INT64)
        rows = [self.reshape(s if isinstance(s, Value) else constant(s, dtype), (1,)) for s in starts]
        axes = list(range(value.rank))
        start = self.concatenate(rows, 0)
        return self.gather(
            value, start, slice_sizes=sizes, offset_dims=axes, collapsed_dims=[], start_map=axes
        )

    def _starts(self, starts: Sequence[Value | int]) -> list:
        dtype = next((s.dtype for s in starts if isinstance(s, Value)), DType.INT64)
        return [(s if isinstance(s, Value) else constant(s, dtype)).ir for s in starts]

    def index_in(self, index: Value, size: int, negative: bool = False, inside: bool = False) -> Value:
        """An index (int64) into an axis of `size`: eager's IndexError if it is out of bounds, else as it is.

        `negative`: whether such ones count from the end, as in Python. Where the bounds do not follow from
        how the index was made, the call checks them; out-of-bounds ones are clamped meanwhile, so that all
        that is read and written is there. `inside`: they hold by how the rule made it, whatever the size.
        """
        index = Value(stablehlo.convert(tensor_type(DType.INT64, index.shape), index.ir), index.shape)
        known = interval(index.ir)
        least = -size if negative else 0
        told = surely_less(least - 1, known.low) and surely_less(known.high, size)
        if not told and not (inside and is_symbolic(size)):
            outside = (index < least) | (index >= size)
            message = f"an index is out of bounds for an axis of size {size}"
            self.fail_if(outside, message, CheckKind.INDEX)
            index = binary(stablehlo.maximum, index, least)
            index = binary(stablehlo.minimum, index, at_least(size - 1, 0))
        if negative and known.low < 0:
            wrapped = index + size
            index = Value(stablehlo.select((index < 0).ir, wrapped.ir, index.ir), index.shape)
        return index

    def divisor(self, value: Value) -> Value:
        """A divisor, as it is: eager's RuntimeError where an integer is 0.

        Where the value's bounds tell that it is not 0, nothing is checked.
        """
        if value.dtype.is_integer:
            known = interval(value.ir)
            if known.low <= 0 <= known.high:
                self.fail_if(value == 0, "ZeroDivisionError")
        return value

    def fail_if(self, predicate: Value, message: str, kind: CheckKind = CheckKind.ASSERTION) -> None:
        """Make the call raise this kind's error with this message where any element is True."""
        raise NotImplementedError
