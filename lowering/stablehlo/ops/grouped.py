"""Products of groups of rows with a matrix each: the experts of a mixture.

How many rows a group has depends on the data, so a loop takes them tile by tile: each row is multiplied once,
and no weight is gathered.
"""

from __future__ import annotations

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.symbolic import is_symbolic
from lowering.stablehlo.value import Value

INDEX = DType.INT32
# The most and the least rows that are multiplied at a time; and those of a count that only a call says.
_TILES = (16, 128)
_TILE_OF_ANY = 32


@lowers("transformers.grouped_mm_fallback.default")
def grouped_mm_fallback(cx: Context, input: Value, weight: Value, offs: Value) -> Value:
    return _rows_by_matrices(cx, input, weight, offs)


@lowers("aten._grouped_mm.default")
def grouped_mm(
    cx: Context, self: Value, mat2: Value, offs: Value | None = None, out_dtype: DType | None = None
) -> Value:
    """Groups lie side by side along an axis; `offs` says where each ends."""
    if self.rank == mat2.rank == 3:
        return cx.call("aten.bmm.default", self, mat2)
    if offs is None:
        raise Unsupported("groups without the places where they end")
    if self.rank == 2 and mat2.rank == 3:
        return _rows_by_matrices(cx, self, mat2, offs)
    if self.rank == 3:
        rows, matrices = cx.transpose(mat2, (1, 0)), cx.transpose(self, (0, 2, 1))
        return cx.transpose(_rows_by_matrices(cx, rows, matrices, offs), (1, 0))
    return _blocks_by_blocks(cx, self, mat2, offs)


def _rows_by_matrices(cx: Context, rows: Value, matrices: Value, ends: Value) -> Value:
    """[S, K] times [E, K, N]: rows up to `ends[0]` by the first matrix, and so on; zero after the last."""
    count, (groups, inner, width) = rows.shape[0], matrices.shape
    dtype = cx.out.dtype
    result = cx.constant(0, dtype, (count, width))
    if not (groups and inner and width) or not (is_symbolic(count) or count):
        return result
    if is_symbolic(count):
        # A tile fits behind the last row, however few there are.
        some = ((0, 0), (_TILE_OF_ANY, 0))
        made = _in_tiles(cx, cx.pad(rows, *some), matrices, ends, count, _TILE_OF_ANY)
        return cx.slice_axis(made, 0, 0, count)
    return _in_tiles(cx, rows, matrices, ends, count, _tile(count, groups))


def _in_tiles(cx: Context, rows: Value, matrices: Value, ends: Value, count: int, tile: int) -> Value:
    """`_rows_by_matrices` of the first `count` rows, `tile` of the rows at a time."""
    dtype, (size, (groups, inner, width)) = cx.out.dtype, (rows.shape[0], matrices.shape)
    result = cx.constant(0, dtype, (size, width))
    ends = cx.minimum(cx.convert(ends, INDEX), count)
    last = cx.reshape(cx.slice_axis(ends, 0, groups - 1, groups), ())

    def step(row: Value, result: Value) -> tuple[Value, Value]:
        group = cx.reduce_sum(cx.convert(ends <= row, INDEX))
        end = cx.reshape(cx.dynamic_slice(ends, (group,), (1,)), ())
        zero = cx.constant(0, INDEX)
        matrix = cx.dynamic_slice(matrices, (group, zero, zero), (1, inner, width))
        # The last tile begins earlier: rows of other groups in it stay as they are.
        start = cx.minimum(row, size - tile)
        some = cx.dynamic_slice(rows, (start, zero), (tile, inner))
        made = cx.dot_general(some, cx.reshape(matrix, (inner, width)), ((1,), (0,)))
        place = cx.iota(INDEX, (tile, 1), 0) + start
        mine = (place >= row) & (place < end)
        before = cx.dynamic_slice(result, (start, zero), (tile, width))
        after = cx.select(mine, cx.convert(made, dtype), before)
        return cx.minimum(start + tile, end), cx.dynamic_update_slice(result, after, (start, zero))

    state = (cx.constant(0, INDEX), result)
    return cx.while_loop(state, lambda row, _: row < last, step)[1]


def _tile(count: int, groups: int) -> int:
    """Rows at a time: as many as a group has on average, as a power of two."""
    low, high = _TILES
    even = -(-count // groups)
    return min(count, max(low, min(high, 1 << (even - 1).bit_length())))


def _blocks_by_blocks(cx: Context, self: Value, mat2: Value, ends: Value) -> Value:
    """[M, S] times [S, N], summed over each group apart: [E, M, N]."""
    place = cx.iota(INDEX, (1, self.shape[1]), 1)
    ends = cx.reshape(cx.convert(ends, INDEX), (-1, 1))
    starts = cx.pad(ends, (1, 0), (-1, 0))
    inside = (place >= starts) & (place < ends)
    left = cx.select(cx.unsqueeze(inside, 1), cx.unsqueeze(self, 0), 0)
    right = cx.select(cx.unsqueeze(inside, 2), cx.unsqueeze(mat2, 0), 0)
    return cx.convert(cx.dot_general(left, right, ((2,), (1,)), ((0,), (0,))), cx.out.dtype)
