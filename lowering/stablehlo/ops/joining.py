"""Joining and splitting: cat, stack, chunk, split, unbind."""

from __future__ import annotations

from itertools import combinations as choose
from itertools import combinations_with_replacement

import numpy as np

from lowering.stablehlo.context import Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.ops.slicing import slice_bounds
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.value import Value

# ---- joining: operands of several dtypes are promoted to the result's ----


@lowers("aten.cat.default", "aten.concat.default", "aten.concatenate.default")
def cat(cx: Context, tensors: tuple[Value, ...], dim: int) -> Value:
    return _join(cx, tensors, dim)


def _join(cx: Context, tensors: tuple[Value, ...] | list[Value], dim: int) -> Value:
    """Concatenate. Empty vectors among tensors of higher rank are passed over, as torch does."""
    rank = len(cx.out.shape)
    parts = [cx.convert(t, cx.out.dtype) for t in tensors if t.rank == rank and t.shape[cx.axis(dim, rank)]]
    return cx.concatenate(parts, dim) if parts else cx.constant(0, cx.out.dtype, cx.out.shape)


@lowers("aten.stack.default", "aten._stack.default")
def stack(cx: Context, tensors: tuple[Value, ...], dim: int) -> Value:
    return _join(cx, [cx.unsqueeze(value, dim) for value in tensors], dim)


@lowers("aten.hstack.default")
def hstack(cx: Context, tensors: tuple[Value, ...]) -> Value:
    parts = [value if value.rank else cx.reshape(value, (1,)) for value in tensors]
    return _join(cx, parts, 0 if parts[0].rank == 1 else 1)


@lowers("aten.vstack.default", "aten.row_stack.default")
def vstack(cx: Context, tensors: tuple[Value, ...]) -> Value:
    return _join(cx, [v if v.rank > 1 else cx.reshape(v, (1, v.size)) for v in tensors], 0)


@lowers("aten.dstack.default")
def dstack(cx: Context, tensors: tuple[Value, ...]) -> Value:
    def solid(value: Value) -> Value:
        return cx.reshape(value, (*value.shape, 1) if value.rank == 2 else (1, value.size, 1))

    return _join(cx, [v if v.rank > 2 else solid(v) for v in tensors], 2)


@lowers("aten.column_stack.default")
def column_stack(cx: Context, tensors: tuple[Value, ...]) -> Value:
    return _join(cx, [v if v.rank > 1 else cx.reshape(v, (v.size, 1)) for v in tensors], 1)


@lowers("aten.block_diag.default")
def block_diag(cx: Context, tensors: tuple[Value, ...]) -> Value:
    """Matrices along the diagonal of zeros; a vector is one row."""
    rows, columns = cx.out.shape
    result = cx.constant(0, cx.out.dtype, (rows, columns))
    down = right = 0
    for tensor in tensors:
        block = tensor if tensor.rank == 2 else cx.reshape(tensor, (1, tensor.size))
        if block.size:
            result = cx.dynamic_update_slice(result, cx.convert(block, cx.out.dtype), [down, right])
        down, right = down + block.shape[0], right + block.shape[1]
    return result


@lowers("aten.cartesian_prod.default")
def cartesian_prod(cx: Context, tensors: tuple[Value, ...]) -> Value:
    """Every choice of one element of each vector, a row each."""
    if len(tensors) == 1:
        return tensors[0]
    grid = tuple(vector.size for vector in tensors)
    columns = [cx.broadcast_in_dim(vector, grid, (axis,)) for axis, vector in enumerate(tensors)]
    return _join(cx, [cx.reshape(column, (column.size, 1)) for column in columns], 1)


@lowers("aten.combinations.default")
def combinations(cx: Context, self: Value, r: int, with_replacement: bool) -> Value:
    """Every choice of `r` elements, a row each."""
    if not r or not cx.out.shape[0]:
        return cx.constant(0, self.dtype, cx.out.shape)
    if cx.out.shape[0] > 65536:
        raise Unsupported(f"{cx.out.shape[0]} combinations are too many to index by a constant")
    pick = combinations_with_replacement if with_replacement else choose
    return cx.take(self, cx.array(np.array(list(pick(range(self.size), r)), dtype=np.int64)))


# ---- splitting ----

SPLITS = [
    "aten.split.Tensor", "aten.split.sizes", "aten.split_copy.Tensor", "aten.split_with_sizes.default",
    "aten.split_with_sizes_copy.default", "aten.unsafe_split.Tensor", "aten.unsafe_split_with_sizes.default",
    "aten.chunk.default", "aten.unsafe_chunk.default", "aten.tensor_split.sections",
]  # fmt: skip


@lowers(*SPLITS)
def split(
    cx: Context,
    self: Value,
    split_size: object = None,
    split_sizes: object = None,
    chunks: object = None,
    sections: object = None,
    dim: int = 0,
) -> list[Value]:
    """Neighbouring pieces along an axis, as long as the results' types say."""
    return _pieces(cx, self, dim)


def _pieces(cx: Context, value: Value, dim: int) -> list[Value]:
    axis = cx.axis(dim, value.rank)
    pieces, start = [], 0
    for out in cx.outs:
        pieces.append(cx.slice_axis(value, axis, start, start + out.shape[axis]))
        start += out.shape[axis]
    return pieces


@lowers("aten.tensor_split.indices")
def tensor_split(cx: Context, self: Value, indices: tuple[int, ...], dim: int) -> list[Value]:
    return _split_at(cx, self, indices, dim)


def _split_at(cx: Context, value: Value, indices: tuple[int, ...], dim: int) -> list[Value]:
    """The pieces between these positions, which are read as Python reads slices and need not ascend."""
    ends = [*indices, None]
    bounds = [slice_bounds(a, b, value.shape[dim]) for a, b in zip([0, *indices], ends, strict=True)]
    return [cx.slice_axis(value, dim, low, high) for low, high in bounds]


@lowers("aten.hsplit.int", "aten.hsplit.array")
def hsplit(cx: Context, self: Value, indices: tuple[int, ...] = (), sections: int = 0) -> list[Value]:
    dim = 0 if self.rank == 1 else 1
    return _pieces(cx, self, dim) if sections else _split_at(cx, self, indices, dim)


@lowers("aten.vsplit.int", "aten.vsplit.array")
def vsplit(cx: Context, self: Value, indices: tuple[int, ...] = (), sections: int = 0) -> list[Value]:
    return _pieces(cx, self, 0) if sections else _split_at(cx, self, indices, 0)


@lowers("aten.dsplit.int", "aten.dsplit.array")
def dsplit(cx: Context, self: Value, indices: tuple[int, ...] = (), sections: int = 0) -> list[Value]:
    return _pieces(cx, self, 2) if sections else _split_at(cx, self, indices, 2)


@lowers("aten.unbind.int", "aten.unbind_copy.int")
def unbind(cx: Context, self: Value, dim: int) -> list[Value]:
    return [cx.reshape(cx.slice_axis(self, dim, i, i + 1), out.shape) for i, out in enumerate(cx.outs)]
