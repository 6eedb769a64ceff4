"""Views and rearrangements: the data stays, the shape moves."""

from __future__ import annotations

from math import prod

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.data_number import is_data_number
from lowering.stablehlo.hlo import stablehlo
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.size_questions import at_least, at_most
from lowering.stablehlo.symbolic import is_symbolic
from lowering.stablehlo.value import Shape, Value, tensor_type


def with_copies(*targets: str) -> list[str]:
    """Targets and the variants of them that return a copy: `aten.t.default`, `aten.t_copy.default`."""
    copies = [f"{name}_copy.{overload}" for name, overload in (t.rsplit(".", 1) for t in targets)]
    return [*targets, *copies]


# ---- the same elements in the same order ----

RESHAPES = [
    *with_copies("aten.view.default", "aten.squeeze.default", "aten.squeeze.dim", "aten.squeeze.dims",
                 "aten.unsqueeze.default", "aten._reshape_alias.default"),
    "aten.reshape.default", "aten._unsafe_view.default", "aten.flatten.using_ints", "aten.unflatten.int",
    "aten.view_as.default", "aten.reshape_as.default", "aten.ravel.default",
    "aten.atleast_1d.default", "aten.atleast_2d.default", "aten.atleast_3d.default",
]  # fmt: skip


@lowers(*RESHAPES)
def reshaped(
    cx: Context,
    self: Value,
    size: object = None,
    shape: object = None,
    sizes: object = None,
    stride: object = None,
    other: object = None,
    dim: object = None,
    start_dim: object = None,
    end_dim: object = None,
) -> Value:
    """Row-major reshapes. The result's type says to which sizes, so the arguments need not be read."""
    return cx.reshape(self, cx.out.shape)


@lowers("aten.atleast_1d.Sequence", "aten.atleast_2d.Sequence", "aten.atleast_3d.Sequence")
def reshaped_each(cx: Context, tensors: tuple[Value, ...]) -> list[Value]:
    return [cx.reshape(value, out.shape) for value, out in zip(tensors, cx.outs, strict=True)]


@lowers(*with_copies("aten.view.dtype"))
def view_dtype(cx: Context, self: Value, dtype: DType) -> Value:
    """The same bytes read as another type; little-endian, as StableHLO's bitcast orders them."""
    return cx.reshape(_reinterpret(cx, self, dtype), cx.out.shape)


def _reinterpret(cx: Context, value: Value, dtype: DType) -> Value:
    if value.dtype is dtype:
        return value
    if dtype is DType.BOOL:
        return _reinterpret(cx, value, DType.UINT8) != 0
    if value.dtype is DType.BOOL:  # one bit in MLIR, one byte in torch
        return _reinterpret(cx, cx.convert(value, DType.UINT8), dtype)
    if value.dtype.is_complex:
        parts = [cx.unsqueeze(part, -1) for part in (cx.real(value), cx.imag(value))]
        pairs = cx.concatenate(parts, -1)
        return _reinterpret(cx, cx.reshape(pairs, (*value.shape[:-1], 2 * value.shape[-1])), dtype)
    if dtype.is_complex:
        part = DType.FLOAT32 if dtype is DType.COMPLEX64 else DType.FLOAT64
        pairs = cx.reshape(_reinterpret(cx, value, part), (*cx.out.shape, 2))
        real, imag = (cx.slice_axis(pairs, -1, i, i + 1) for i in range(2))
        return cx.complex(cx.reshape(real, cx.out.shape), cx.reshape(imag, cx.out.shape))
    narrow, wide = value.dtype.itemsize, dtype.itemsize
    shape = value.shape
    if narrow > wide:
        result: Shape = (*shape, narrow // wide)
    elif narrow < wide:
        factor = wide // narrow
        result = (*shape[:-1], shape[-1] // factor)
        value = cx.reshape(value, (*result, factor))
    else:
        result = shape
    value = Value(stablehlo.bitcast_convert(tensor_type(dtype, result), value.ir), result)
    return cx.reshape(value, (*shape[:-1], shape[-1] * narrow // wide)) if shape else value


# ---- axes in another order ----


@lowers("aten.transpose_.default", "aten.swapaxes.default", "aten.swapdims.default",
        *with_copies("aten.transpose.int"))  # fmt: skip
def transpose(
    cx: Context, self: Value, dim0: int = 0, dim1: int = 1, axis0: int | None = None, axis1: int | None = None
) -> Value:
    return _swap(cx, self, dim0 if axis0 is None else axis0, dim1 if axis1 is None else axis1)


def _swap(cx: Context, value: Value, a: int, b: int) -> Value:
    order = list(range(value.rank))
    if order:
        a, b = cx.axis(a, value.rank), cx.axis(b, value.rank)
        order[a], order[b] = order[b], order[a]
    return cx.transpose(value, order)


@lowers("aten.numpy_T.default", *with_copies("aten.t.default"))
def reversed_axes(cx: Context, self: Value) -> Value:
    return cx.transpose(self, range(self.rank)[::-1])


@lowers("aten.mT.default")
def matrix_transpose(cx: Context, self: Value) -> Value:
    return _swap(cx, self, -2, -1)


@lowers("aten.mH.default", "aten.matrix_H.default", "aten.adjoint.default")
def adjoint(cx: Context, self: Value) -> Value:
    moved = _swap(cx, self, -2, -1) if self.rank else self
    return cx.complex(cx.real(moved), -cx.imag(moved)) if moved.dtype.is_complex else moved


@lowers(*with_copies("aten.permute.default"))
def permute(cx: Context, self: Value, dims: tuple[int, ...]) -> Value:
    return cx.transpose(self, dims)


@lowers("aten.movedim.int", "aten.movedim.intlist", "aten.moveaxis.int", "aten.moveaxis.intlist")
def movedim(
    cx: Context, self: Value, source: int | tuple[int, ...], destination: int | tuple[int, ...]
) -> Value:
    sources = [cx.axis(axis, self.rank) for axis in _tuple(source)]
    places = dict(zip((cx.axis(axis, self.rank) for axis in _tuple(destination)), sources, strict=True))
    rest = iter([axis for axis in range(self.rank) if axis not in sources])
    return cx.transpose(self, [places[i] if i in places else next(rest) for i in range(self.rank)])


def _tuple(axes: int | tuple[int, ...]) -> tuple[int, ...]:
    return (axes,) if isinstance(axes, int) else axes


@lowers("aten.flip.default")
def flip(cx: Context, self: Value, dims: tuple[int, ...]) -> Value:
    return cx.reverse(self, dims)


@lowers("aten.fliplr.default")
def fliplr(cx: Context, self: Value) -> Value:
    return cx.reverse(self, (1,))


@lowers("aten.flipud.default")
def flipud(cx: Context, self: Value) -> Value:
    return cx.reverse(self, (0,))


@lowers("aten.rot90.default")
def rot90(cx: Context, self: Value, k: int, dims: tuple[int, int]) -> Value:
    """A turn from the first axis towards the second, `k` times."""
    first, second = dims
    match k % 4:
        case 1:
            return _swap(cx, cx.reverse(self, (second,)), first, second)
        case 2:
            return cx.reverse(self, dims)
        case 3:
            return _swap(cx, cx.reverse(self, (first,)), first, second)
    return self


@lowers("aten.roll.default")
def roll(cx: Context, self: Value, shifts: tuple[int, ...] | int, dims: tuple[int, ...] | int) -> Value:
    """Without `dims`, the flattened elements roll."""
    shifts, dims = _tuple(shifts), _tuple(dims)
    value = self if dims else cx.reshape(self, (self.size,))
    for shift, dim in zip(shifts, dims or (0,), strict=True):
        size = value.shape[dim] if value.rank else 0
        if is_data_number(shift):
            value = _rolled(cx, value, shift.value, dim) if value.rank and value.size else value
        elif size and (is_symbolic(size) or shift % size):
            cut = size - shift % size
            parts = [cx.slice_axis(value, dim, cut, size), cx.slice_axis(value, dim, 0, cut)]
            value = cx.concatenate(parts, dim)
    return cx.reshape(value, self.shape)


def _rolled(cx: Context, value: Value, shift: Value, dim: int) -> Value:
    """By a number from the data: a window of the elements twice in a row."""
    axis = cx.axis(dim, value.rank)
    size = value.shape[axis]
    rest = cx.remainder(shift, cx.constant(size, DType.INT64))
    first = cx.select(rest > 0, size - rest, -rest)
    starts = [first if a == axis else 0 for a in range(value.rank)]
    return cx.dynamic_slice(cx.concatenate([value, value], axis), starts, value.shape)


# ---- elements many times ----


@lowers("aten.expand_as.default", "aten.broadcast_to.default", *with_copies("aten.expand.default"))
def expand(
    cx: Context, self: Value, size: object = None, other: object = None, implicit: bool = False
) -> Value:
    return cx.broadcast(self, cx.out.shape)


@lowers("aten.broadcast_tensors.default")
def broadcast_tensors(cx: Context, tensors: tuple[Value, ...]) -> list[Value]:
    return [cx.broadcast(value, out.shape) for value, out in zip(tensors, cx.outs, strict=True)]


@lowers("aten.repeat.default", "aten.tile.default")
def repeat(cx: Context, self: Value, repeats: tuple[int, ...] = (), dims: tuple[int, ...] = ()) -> Value:
    """Each axis several times over. The shorter of sizes and counts gets leading ones."""
    counts = repeats or dims
    rank = max(self.rank, len(counts))
    counts = (1,) * (rank - len(counts)) + counts
    sizes = (1,) * (rank - self.rank) + self.shape
    split = [part for pair in zip(counts, sizes, strict=True) for part in pair]
    spread = cx.broadcast_in_dim(cx.reshape(self, sizes), tuple(split), tuple(range(1, 2 * rank, 2)))
    return cx.reshape(spread, cx.out.shape)


@lowers("aten.repeat_interleave.self_int")
def repeat_interleave(
    cx: Context, self: Value, repeats: int, dim: int | None, output_size: int | None = None
) -> Value:
    """Each element `repeats` times in a row; without `dim`, of the flattened tensor."""
    value = cx.reshape(self, (self.size,)) if dim is None or not self.rank else self
    axis = cx.axis(dim or 0, value.rank)
    shape = (*value.shape[: axis + 1], repeats, *value.shape[axis + 1 :])
    return cx.reshape(cx.expand(value, shape, axis + 1), cx.out.shape)


@lowers("aten.meshgrid.default", "aten.meshgrid.indexing")
def meshgrid(cx: Context, tensors: tuple[Value, ...], indexing: str = "ij") -> list[Value]:
    """Vector i along axis i of a grid; with `xy`, the first two axes are exchanged."""
    axes = list(range(len(tensors)))
    if indexing == "xy" and len(axes) > 1:
        axes[:2] = 1, 0
    return [
        cx.broadcast_in_dim(cx.reshape(vector, (vector.size,)), out.shape, (axis,))
        for vector, out, axis in zip(tensors, cx.outs, axes, strict=True)
    ]


# ---- diagonals ----


@lowers("aten.linalg_diagonal.default", *with_copies("aten.diagonal.default"))
def diagonal(
    cx: Context,
    self: Value | None = None,
    offset: int = 0,
    dim1: int = 0,
    dim2: int = 1,
    A: Value | None = None,
) -> Value:
    """The diagonal of the (dim1, dim2) matrices, as the last axis."""
    value = self if self is not None else A
    assert value is not None
    return take_diagonal(cx, value, offset, dim1, dim2)


def take_diagonal(cx: Context, value: Value, offset: int, dim1: int, dim2: int) -> Value:
    """In a square matrix of L columns laid out flat, the diagonal is every (L+1)-th element."""
    matrices = _last_two(cx, value, dim1, dim2)
    rows, columns = matrices.shape[-2:]
    down, right = max(-offset, 0), max(offset, 0)
    length = at_least(at_most(rows - down, columns - right), 0)
    batch = matrices.shape[:-2]
    if not length or not prod(batch):
        return cx.constant(0, value.dtype, (*batch, length))
    square = cx.slice_axis(matrices, -2, down, down + length)
    square = cx.slice_axis(square, -1, right, right + length)
    flat = cx.reshape(square, (*batch, length * length))
    found = cx.slice_axis(flat, -1, 0, length * length, length + 1)
    return Value(found.ir, (*batch, length))


def _last_two(cx: Context, value: Value, dim1: int, dim2: int) -> Value:
    first, second = cx.axis(dim1, value.rank), cx.axis(dim2, value.rank)
    rest = [axis for axis in range(value.rank) if axis not in (first, second)]
    return cx.transpose(value, [*rest, first, second])


@lowers("aten.diag_embed.default")
def diag_embed(cx: Context, self: Value, offset: int, dim1: int, dim2: int) -> Value:
    """The last axis onto a diagonal of otherwise zero (dim1, dim2) matrices."""
    return embed_diagonal(cx, self, offset, dim1, dim2, cx.out.shape)


def embed_diagonal(cx: Context, value: Value, offset: int, dim1: int, dim2: int, shape: Shape) -> Value:
    """`take_diagonal` undone: zeros of `shape` but for that diagonal."""
    first, second = cx.axis(dim1, len(shape)), cx.axis(dim2, len(shape))
    rows, columns = shape[first], shape[second]
    length, batch = value.shape[-1], value.shape[:-1]
    if not value.size:
        return cx.constant(0, value.dtype, shape)
    none = [0] * len(batch)
    flat = cx.pad(value, [0] * value.rank, [0] * value.rank, interior=[*none, length])
    square = cx.reshape(flat, (*batch, length, length))
    down, right = max(-offset, 0), max(offset, 0)
    high = [*none, rows - down - length, columns - right - length]
    matrices = cx.pad(square, [*none, down, right], high)
    rest = iter(range(len(batch)))
    order = [
        len(batch) + (axis == second) if axis in (first, second) else next(rest) for axis in range(len(shape))
    ]
    return cx.transpose(matrices, order)


@lowers("aten.diag.default")
def diag(cx: Context, self: Value, diagonal: int) -> Value:
    if self.rank == 1:
        return embed_diagonal(cx, self, diagonal, 0, 1, cx.out.shape)
    return take_diagonal(cx, self, diagonal, 0, 1)
