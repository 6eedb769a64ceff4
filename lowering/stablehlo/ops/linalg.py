"""Linear algebra over batches of matrices: the operators that all of torch.linalg decomposes into.

Each is a JAX function of one matrix (`lowering.stablehlo.ops.factorisations`), mapped over the axes before. A
call raises eager's errors for matrices that cannot be factorised (`Context.fail_if`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any

from lowering.ir.module import CheckKind
from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.ops import factorisations as f
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.value import Value

SINGULAR = "the matrix is singular: a pivot is 0"


def over_batches(cx: Context, fn: Callable[..., Any], *operands: Value, ranks: Any, **static: Any) -> Any:
    """`fn` of one matrix each on the last `ranks` axes of the operands, whose other axes broadcast.

    Results without elements are not computed; where only others' inputs have none, it is Unsupported.
    """
    leading = [value.shape[: value.rank - rank] for value, rank in zip(operands, ranks, strict=True)]
    batch: tuple[int, ...] = cx.broadcast_shapes(*leading)
    if any(0 in value.shape for value in operands) or 0 in batch:
        return _without_elements(cx)
    spread = [
        cx.broadcast(value, (*batch, *value.shape[value.rank - rank :]))
        for value, rank in zip(operands, ranks, strict=True)
    ]
    return cx.jax(_mapped, *spread, function=_Named(fn), depth=len(batch), **static)


class _Named:
    """A function whose `repr`, by which traces are found again, is its name."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn

    def __repr__(self) -> str:
        return f"{self.fn.__module__}.{self.fn.__qualname__}"


def _mapped(*arrays: Any, function: _Named, depth: int, **static: Any) -> Any:
    import jax

    found = partial(function.fn, **static)
    for _ in range(depth):
        found = jax.vmap(found)
    return found(*arrays)


def _without_elements(cx: Context) -> Any:
    if any(prod(out.shape) and not out.dtype.is_integer for out in cx.outs):
        raise Unsupported("a matrix without elements")
    empty = [cx.constant(0, out.dtype, out.shape) for out in cx.outs]
    return tuple(empty) if len(empty) > 1 else empty[0]


def _fit(cx: Context, values: Sequence[Value]) -> tuple[Value, ...]:
    """Results in the program's types; those that eager leaves empty are made so."""
    return tuple(
        cx.constant(0, out.dtype, out.shape) if 0 in out.shape else cx.convert(value, out.dtype)
        for value, out in zip(values, cx.outs, strict=False)
    )


def _raise_if(cx: Context, info: Value, message: str) -> None:
    """Eager's error where LAPACK's `info` is not 0 for some matrix."""
    cx.fail_if(info != 0, message, CheckKind.LINEAR_ALGEBRA)


def _adjoint(x: Any) -> Any:
    import jax.numpy as jnp

    return jnp.conj(x).T


# ------------------------------------------------------------------------------ LU


def _lu_factor(a: Any) -> tuple[Any, Any, Any]:
    """L and U packed, pivots, and which pivot is 0 (from 1), or 0."""
    import jax.numpy as jnp

    packed, pivots, _ = f.lu(a)
    zero = jnp.diagonal(packed) == 0
    return packed, pivots, jnp.where(zero.any(), jnp.argmax(zero).astype(jnp.int32) + 1, jnp.int32(0))


@lowers("aten.linalg_lu_factor_ex.default")
def lu_factor_ex(cx: Context, A: Value, pivot: bool, check_errors: bool) -> tuple[Value, ...]:
    if not pivot:
        raise Unsupported("an LU factorisation without pivots")
    packed, pivots, info = over_batches(cx, _lu_factor, A, ranks=[2])
    if check_errors:
        _raise_if(cx, info, SINGULAR)
    return _fit(cx, (packed, pivots, info))


@lowers("aten.linalg_lu_factor.default")
def lu_factor(cx: Context, A: Value, pivot: bool) -> tuple[Value, ...]:
    if not pivot:
        raise Unsupported("an LU factorisation without pivots")
    found = over_batches(cx, _lu_factor, A, ranks=[2])
    if len(found) == 3:
        _raise_if(cx, found[2], SINGULAR)
    return _fit(cx, found[:2])


def _unpack(packed: Any, pivots: Any) -> tuple[Any, Any, Any]:
    import jax.numpy as jnp

    m, n = packed.shape
    k = min(m, n)
    order = f.permutation(pivots, m)
    p = jnp.zeros((m, m), packed.dtype).at[order, jnp.arange(m)].set(1)
    return p, jnp.tril(packed[:, :k], -1) + jnp.eye(m, k, dtype=packed.dtype), jnp.triu(packed[:k])


@lowers("aten.lu_unpack.default")
def lu_unpack(
    cx: Context, LU_data: Value, LU_pivots: Value, unpack_data: bool, unpack_pivots: bool
) -> tuple[Value, ...]:
    _check_pivots(cx, LU_data, LU_pivots)
    return _fit(cx, over_batches(cx, _unpack, LU_data, LU_pivots, ranks=[2, 1]))


def _check_pivots(cx: Context, packed: Value, pivots: Value) -> None:
    outside = (pivots < 1) | (pivots > packed.shape[-2])
    cx.fail_if(outside, "pivots must be between 1 and LU.size(-2)")


def _plu(a: Any) -> tuple[Any, Any, Any]:
    packed, pivots, _ = f.lu(a)
    return _unpack(packed, pivots)


@lowers("aten.linalg_lu.default")
def linalg_lu(cx: Context, A: Value, pivot: bool) -> tuple[Value, ...]:
    if not pivot:
        raise Unsupported("an LU factorisation without pivots")
    return _fit(cx, over_batches(cx, _plu, A, ranks=[2]))


def _lu_solve(packed: Any, pivots: Any, b: Any, left: bool, adjoint: bool) -> Any:
    import jax.numpy as jnp

    if not left:
        return _adjoint(_lu_solve(packed, pivots, _adjoint(b), True, not adjoint))
    order = f.permutation(pivots, packed.shape[0])
    if not adjoint:
        return f.solve_triangular(
            packed, f.solve_triangular(packed, b[order], lower=True, unit=True), lower=False
        )
    y = f.solve_triangular(_adjoint(packed), b, lower=True)
    z = f.solve_triangular(_adjoint(packed), y, lower=False, unit=True)
    return jnp.zeros_like(z).at[order].set(z)


@lowers("aten.linalg_lu_solve.default")
def lu_solve(cx: Context, LU: Value, pivots: Value, B: Value, left: bool, adjoint: bool) -> Value:
    _check_pivots(cx, LU, pivots)
    return over_batches(cx, _lu_solve, LU, pivots, B, ranks=[2, 1, 2], left=left, adjoint=adjoint)


def _solve(a: Any, b: Any, left: bool, transposed: bool) -> tuple[Any, ...]:
    """X with A X = B, or X A = B; and the factors, of Aᵀ if `transposed`, as eager has them of real ones."""
    packed, pivots, info = _lu_factor(a.T if transposed else a)
    return _lu_solve(packed, pivots, b, left, transposed), packed, pivots, info


def _solved(cx: Context, A: Value, B: Value, left: bool) -> tuple[Value, ...]:
    """Result, LU, pivots, info. `B` is a batch of vectors where it has the sizes of A without the last."""
    vector = B.rank == 1 or (A.rank - 1 == B.rank and B.shape == A.shape[:-1])
    if vector:
        B = cx.reshape(B, (*B.shape, 1))
    static = {"left": left, "transposed": not A.dtype.is_complex}
    found = over_batches(cx, _solve, A, B, ranks=[2, 2], **static)
    if not isinstance(found, tuple) or len(found) < 4:
        raise Unsupported("a matrix without elements")
    result = cx.reshape(found[0], found[0].shape[:-1]) if vector and 0 not in found[0].shape else found[0]
    return (result, *found[1:])


@lowers("aten._linalg_solve_ex.default")
def solve_ex(cx: Context, A: Value, B: Value, left: bool, check_errors: bool) -> tuple[Value, ...]:
    if A.shape[:-2] != cx.outs[1].shape[:-2]:
        raise Unsupported("factors of other sizes than the matrices")
    found = _solved(cx, A, B, left)
    if check_errors:
        _raise_if(cx, found[3], SINGULAR)
    return _fit(cx, found)


@lowers("aten.linalg_solve.default")
def solve(cx: Context, A: Value, B: Value, left: bool) -> Value:
    if 0 in cx.out.shape:
        return cx.constant(0, cx.out.dtype, cx.out.shape)
    result, _, _, info = _solved(cx, A, B, left)
    _raise_if(cx, info, SINGULAR)
    return cx.reshape(result, cx.out.shape)


def _inverse(a: Any) -> tuple[Any, Any]:
    import jax.numpy as jnp

    packed, pivots, info = _lu_factor(a)
    return _lu_solve(packed, pivots, jnp.eye(a.shape[0], dtype=a.dtype), True, False), info


@lowers("aten.linalg_inv_ex.default")
def inv_ex(cx: Context, A: Value, check_errors: bool) -> tuple[Value, ...]:
    inverse, info = over_batches(cx, _inverse, A, ranks=[2])
    if check_errors:
        _raise_if(cx, info, SINGULAR)
    return inverse, info


@lowers("aten.linalg_inv.default", "aten.inverse.default")
def inverse(cx: Context, A: Value | None = None, self: Value | None = None) -> Value:
    matrix = A if A is not None else self
    assert matrix is not None
    if not matrix.size:
        return cx.constant(0, cx.out.dtype, cx.out.shape)
    found, info = over_batches(cx, _inverse, matrix, ranks=[2])
    _raise_if(cx, info, SINGULAR)
    return found


def _determinant(a: Any, transposed: bool) -> tuple[Any, ...]:
    import jax.numpy as jnp

    packed, pivots, _ = f.lu(a.T if transposed else a)
    swaps = (pivots != jnp.arange(1, a.shape[0] + 1)).sum() % 2
    return jnp.prod(jnp.diagonal(packed)) * (1 - 2 * swaps).astype(a.dtype), packed, pivots


@lowers("aten._linalg_det.default")
def det(cx: Context, A: Value) -> tuple[Value, ...]:
    if not A.size:
        rest = (cx.constant(0, out.dtype, out.shape) for out in cx.outs[1:])
        return cx.constant(1, cx.out.dtype, cx.out.shape), *rest
    return over_batches(cx, _determinant, A, ranks=[2], transposed=not A.dtype.is_complex)


def _log_determinant(a: Any, transposed: bool) -> tuple[Any, ...]:
    import jax.numpy as jnp

    packed, pivots, _ = f.lu(a.T if transposed else a)
    diagonal = jnp.diagonal(packed)
    swaps = (pivots != jnp.arange(1, a.shape[0] + 1)).sum() % 2
    sign = jnp.prod(jnp.sign(diagonal)) * (1 - 2 * swaps).astype(a.dtype)
    return sign, jnp.sum(jnp.log(jnp.abs(diagonal))), packed, pivots


@lowers("aten._linalg_slogdet.default")
def slogdet(cx: Context, A: Value) -> tuple[Value, ...]:
    if not A.size:
        sign, *rest = cx.outs
        others = (cx.constant(0, out.dtype, out.shape) for out in rest)
        return cx.constant(1, sign.dtype, sign.shape), *others
    return over_batches(cx, _log_determinant, A, ranks=[2], transposed=not A.dtype.is_complex)


# ------------------------------------------------------------------------------ triangles, Cholesky


def _triangular(a: Any, b: Any, upper: bool, left: bool, unit: bool) -> Any:
    if left:
        return f.solve_triangular(a, b, lower=not upper, unit=unit)
    return f.solve_triangular(a.T, b.T, lower=upper, unit=unit).T


@lowers("aten.linalg_solve_triangular.default")
def solve_triangular(
    cx: Context, self: Value, B: Value, upper: bool, left: bool, unitriangular: bool
) -> Value:
    static = {"upper": upper, "left": left, "unit": unitriangular}
    return over_batches(cx, _triangular, self, B, ranks=[2, 2], **static)


def _triangular_solve(b: Any, a: Any, upper: bool, transpose: bool, unit: bool) -> tuple[Any, Any]:
    if transpose:
        return _triangular(a.T, b, not upper, True, unit), a
    return _triangular(a, b, upper, True, unit), a


@lowers("aten.triangular_solve.default")
def triangular_solve(
    cx: Context, self: Value, A: Value, upper: bool, transpose: bool, unitriangular: bool
) -> tuple[Value, ...]:
    """The second result is a copy of A."""
    static = {"upper": upper, "transpose": transpose, "unit": unitriangular}
    return over_batches(cx, _triangular_solve, self, A, ranks=[2, 2], **static)


def _cholesky(a: Any, upper: bool) -> tuple[Any, Any]:
    factor, info = f.cholesky(_adjoint(a) if upper else a)
    return (_adjoint(factor) if upper else factor), info


@lowers("aten.linalg_cholesky_ex.default")
def cholesky_ex(cx: Context, self: Value, upper: bool, check_errors: bool) -> tuple[Value, ...]:
    factor, info = over_batches(cx, _cholesky, self, ranks=[2], upper=upper)
    if check_errors:
        _raise_if(cx, info, "the matrix is not positive definite")
    return factor, info


@lowers("aten.linalg_cholesky.default", "aten.cholesky.default")
def cholesky(cx: Context, self: Value, upper: bool) -> Value:
    if not self.size:
        return cx.constant(0, cx.out.dtype, cx.out.shape)
    factor, info = over_batches(cx, _cholesky, self, ranks=[2], upper=upper)
    _raise_if(cx, info, "the matrix is not positive definite")
    return factor


def _cholesky_solve(b: Any, factor: Any, upper: bool) -> Any:
    lower = _adjoint(factor) if upper else factor
    return f.solve_triangular(_adjoint(lower), f.solve_triangular(lower, b, lower=True), lower=False)


@lowers("aten.cholesky_solve.default")
def cholesky_solve(cx: Context, self: Value, input2: Value, upper: bool) -> Value:
    return over_batches(cx, _cholesky_solve, self, input2, ranks=[2, 2], upper=upper)


def _cholesky_inverse(factor: Any, upper: bool) -> Any:
    import jax.numpy as jnp

    return _cholesky_solve(jnp.eye(factor.shape[0], dtype=factor.dtype), factor, upper)


@lowers("aten.cholesky_inverse.default")
def cholesky_inverse(cx: Context, self: Value, upper: bool) -> Value:
    rows, columns = (cx.iota(DType.INT64, self.shape, self.rank - back) for back in (2, 1))
    diagonal = cx.compare(rows, columns, "EQ")
    cx.fail_if(diagonal & (self == 0), "cholesky_inverse: a diagonal element is 0", CheckKind.LINEAR_ALGEBRA)
    return over_batches(cx, _cholesky_inverse, self, ranks=[2], upper=upper)


@lowers("aten._linalg_check_errors.default")
def check_errors(cx: Context, info: Value, api_name: str, is_matrix: bool) -> tuple[Value, ...]:
    _raise_if(cx, info, f"{api_name}: the matrix is singular, or not positive definite")
    return ()
