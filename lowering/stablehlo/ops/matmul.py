"""Products of vectors and matrices, alone and added to another tensor."""

from __future__ import annotations

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.ops.contraction import contract, product, times
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.size_questions import differs
from lowering.stablehlo.value import Scalar, Shape, Value


def conjugate(cx: Context, value: Value) -> Value:
    return cx.complex(cx.real(value), -cx.imag(value)) if value.dtype.is_complex else value


# `out_dtype` is the result's type, which the program states.
@lowers("aten.mm.default", "aten.mm.dtype", "aten._int_mm.default")
def mm(cx: Context, self: Value, mat2: Value, out_dtype: DType | None = None) -> Value:
    return product(cx, self, "mk", mat2, "kn", "mn")


@lowers("aten.bmm.default", "aten.bmm.dtype")
def bmm(cx: Context, self: Value, mat2: Value, out_dtype: DType | None = None) -> Value:
    return product(cx, self, "bmk", mat2, "bkn", "bmn")


@lowers("aten.mv.default")
def mv(cx: Context, self: Value, vec: Value) -> Value:
    return product(cx, self, "mk", vec, "k", "m")


@lowers("aten.dot.default")
def dot(cx: Context, self: Value, tensor: Value) -> Value:
    return product(cx, self, "k", tensor, "k", "")


@lowers("aten.vdot.default")
def vdot(cx: Context, self: Value, other: Value) -> Value:
    return product(cx, conjugate(cx, self), "k", other, "k", "")


@lowers("aten.linalg_vecdot.default")
def vecdot(cx: Context, x: Value, y: Value, dim: int = -1) -> Value:
    axis = cx.axis(dim, max(x.rank, y.rank)) - max(x.rank, y.rank)
    left, right = range(-x.rank, 0), range(-y.rank, 0)
    rest = [label for label in max((left, right), key=len) if label != axis]
    return product(cx, conjugate(cx, x), left, y, right, rest)


@lowers("aten.outer.default", "aten.ger.default")
def outer(cx: Context, self: Value, vec2: Value) -> Value:
    return product(cx, self, "i", vec2, "j", "ij")


@lowers("aten.matmul.default", "aten.linalg_matmul.default")
def matmul(cx: Context, self: Value, other: Value) -> Value:
    """A vector counts as a row on the left and as a column on the right; leading axes broadcast."""
    batch = list(range(2 - max(self.rank, other.rank, 2), 0))
    left = [*batch[len(batch) + 2 - self.rank :], "m", "k"] if self.rank > 1 else ["k"]
    right = [*batch[len(batch) + 2 - other.rank :], "k", "n"] if other.rank > 1 else ["k"]
    return product(cx, self, left, other, right, [*batch, *"m" * (self.rank > 1), *"n" * (other.rank > 1)])


@lowers("aten.inner.default")
def inner(cx: Context, self: Value, other: Value) -> Value:
    """Over the last axes; a 0-d operand scales the other."""
    if not (self.rank and other.rank):
        return cx.pointwise(times, self, other, out=cx.out.dtype)
    left = [*(("left", axis) for axis in range(self.rank - 1)), "k"]
    right = [*(("right", axis) for axis in range(other.rank - 1)), "k"]
    return product(cx, self, left, other, right, [*left[:-1], *right[:-1]])


@lowers("aten.kron.default")
def kron(cx: Context, self: Value, other: Value) -> Value:
    rank = max(self.rank, other.rank)
    left = [size for s in (1,) * (rank - self.rank) + self.shape for size in (s, 1)]
    right = [size for s in (1,) * (rank - other.rank) + other.shape for size in (1, s)]
    blocks = cx.pointwise(times, cx.reshape(self, left), cx.reshape(other, right), out=cx.out.dtype)
    return cx.reshape(blocks, cx.out.shape)


def _first_of_three(shape: Shape) -> int:
    """The first axis of size 3; the program is for no sizes that make another one the first."""
    return next(axis for axis, size in enumerate(shape) if not differs(size, 3))


@lowers("aten.cross.default", "aten.linalg_cross.default")
def cross(cx: Context, self: Value, other: Value, dim: int | None = None) -> Value:
    """Along `dim`, or the first axis of size 3. Of halves eager rounds the products before it subtracts."""
    shape = cx.out.shape
    axis = _first_of_three(shape) if dim is None else cx.axis(dim, len(shape))
    a, b = (cx.convert(cx.broadcast(v, shape), cx.compute_dtype(cx.out.dtype)) for v in (self, other))

    def rotated(value: Value, by: int) -> Value:
        return cx.concatenate([cx.slice_axis(value, axis, by, 3), cx.slice_axis(value, axis, 0, by)], axis)

    def product(by: int) -> Value:
        return cx.rounded(rotated(a, by) * rotated(b, 3 - by), cx.out.dtype)

    return cx.convert(product(1) - product(2), cx.out.dtype)


@lowers("aten.linear.default")
def linear(cx: Context, input: Value, weight: Value, bias: Value | None = None) -> Value:
    rows = list(range(input.rank - 1))
    features = ["n"] * (weight.rank - 1)
    result = contract(cx, input, [*rows, "k"], weight, [*features, "k"], [*rows, *features], cx.out.dtype)
    if bias is not None:
        # Eager adds the bias to the float32 accumulator of halves and rounds once.
        result = result + cx.convert(bias, result.dtype)
    return cx.convert(result, cx.out.dtype)


def scaled_sum(cx: Context, self: Value, result: Value, beta: Scalar, alpha: Scalar) -> Value:
    """`beta * self + alpha * result`, rounded once. A zero beta drops `self`, NaN or not."""
    if result.dtype is DType.BOOL:
        scaled = result if alpha else cx.constant(False, DType.BOOL, result.shape)
        return cx.broadcast(scaled | self if beta else scaled, cx.out.shape)
    scaled = result if alpha == 1 else result * alpha
    if beta != 0:
        added = cx.convert(self, result.dtype)
        scaled = scaled + (added if beta == 1 else added * beta)
    return cx.convert(cx.broadcast(scaled, cx.out.shape), cx.out.dtype)


@lowers("aten.addmm.default", "aten.addmm.dtype")
def addmm(
    cx: Context,
    self: Value,
    mat1: Value,
    mat2: Value,
    out_dtype: DType | None = None,
    beta: Scalar = 1,
    alpha: Scalar = 1,
) -> Value:
    return scaled_sum(cx, self, contract(cx, mat1, "mk", mat2, "kn", "mn", cx.out.dtype), beta, alpha)


@lowers("aten.addmv.default")
def addmv(cx: Context, self: Value, mat: Value, vec: Value, beta: Scalar = 1, alpha: Scalar = 1) -> Value:
    return scaled_sum(cx, self, contract(cx, mat, "mk", vec, "k", "m", cx.out.dtype), beta, alpha)


@lowers("aten.addbmm.default")
def addbmm(
    cx: Context, self: Value, batch1: Value, batch2: Value, beta: Scalar = 1, alpha: Scalar = 1
) -> Value:
    return scaled_sum(cx, self, contract(cx, batch1, "bmk", batch2, "bkn", "mn", cx.out.dtype), beta, alpha)


@lowers("aten.baddbmm.default", "aten.baddbmm.dtype")
def baddbmm(
    cx: Context,
    self: Value,
    batch1: Value,
    batch2: Value,
    out_dtype: DType | None = None,
    beta: Scalar = 1,
    alpha: Scalar = 1,
) -> Value:
    return scaled_sum(cx, self, contract(cx, batch1, "bmk", batch2, "bkn", "bmn", cx.out.dtype), beta, alpha)


@lowers("aten.addr.default")
def addr(cx: Context, self: Value, vec1: Value, vec2: Value, beta: Scalar = 1, alpha: Scalar = 1) -> Value:
    """Eager computes in the type of the result: halves are rounded at every step, and so are the scalars."""
    dtype = cx.out.dtype

    def times(a: Value, b: Value) -> Value:
        return cx.pointwise(lambda x, y: x * y, cx.convert(a, dtype), cx.convert(b, dtype), out=dtype)

    column = cx.reshape(times(cx.constant(alpha, dtype), vec1), (-1, 1))
    product = times(column, vec2)
    if beta == 0:
        return product
    return cx.pointwise(lambda x, y: x + y, times(cx.constant(beta, dtype), self), product, out=dtype)
