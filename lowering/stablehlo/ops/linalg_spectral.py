"""Orthogonal factorisations and spectra: QR, eigenvalues of Hermitian matrices, singular values."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowering.ir.module import CheckKind
from lowering.stablehlo.context import Context
from lowering.stablehlo.ops import factorisations as f
from lowering.stablehlo.ops.linalg import _adjoint, _fit, over_batches
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.value import Value, numpy_dtype


@lowers("aten.linalg_qr.default")
def linalg_qr(cx: Context, A: Value, mode: str) -> tuple[Value, ...]:
    columns = A.shape[-2] if mode == "complete" else min(A.shape[-2:])
    return _fit(cx, over_batches(cx, f.qr, A, ranks=[2], columns=columns))


@lowers("aten.geqrf.default")
def geqrf(cx: Context, self: Value) -> tuple[Value, ...]:
    return _fit(cx, over_batches(cx, f.reflectors, self, ranks=[2]))


def _product(a: Any, taus: Any) -> Any:
    return f.product_of_reflectors(a, taus, a.shape[1])


@lowers("aten.linalg_householder_product.default")
def householder_product(cx: Context, input: Value, tau: Value) -> Value:
    if not tau.size and input.size:
        return cx.broadcast(cx.array(np.eye(*input.shape[-2:], dtype=numpy_dtype(input.dtype))), cx.out.shape)
    return over_batches(cx, _product, input, tau, ranks=[2, 1])


def _times_q(a: Any, taus: Any, other: Any, left: bool, transpose: bool) -> Any:
    q = f.product_of_reflectors(a, taus, a.shape[0])
    q = _adjoint(q) if transpose else q
    return q @ other if left else other @ q


@lowers("aten.ormqr.default")
def ormqr(cx: Context, self: Value, input2: Value, input3: Value, left: bool, transpose: bool) -> Value:
    if not input2.size:
        return input3
    return over_batches(cx, _times_q, self, input2, input3, ranks=[2, 1, 2], left=left, transpose=transpose)


def _hermitian(a: Any, upper: bool) -> Any:
    """The Hermitian matrix that one triangle stands for; the diagonal's imaginary part is not read."""
    import jax.numpy as jnp

    a = _adjoint(a) if upper else a
    return jnp.tril(a, -1) + _adjoint(jnp.tril(a, -1)) + jnp.diag(jnp.diagonal(a).real).astype(a.dtype)


def _eigh(a: Any, upper: bool) -> tuple[Any, Any]:
    return f.eigh(_hermitian(a, upper))


@lowers("aten._linalg_eigh.default")
def eigh(cx: Context, A: Value, UPLO: str, compute_v: bool) -> tuple[Value, ...]:
    return _fit(cx, over_batches(cx, _eigh, A, ranks=[2], upper=UPLO.upper() == "U"))


@lowers("aten._linalg_svd.default")
def svd(cx: Context, A: Value, full_matrices: bool, compute_uv: bool) -> tuple[Value, ...]:
    _refuse_nan(cx, A)
    return _fit(cx, over_batches(cx, f.svd, A, ranks=[2], full=full_matrices))


def _refuse_nan(cx: Context, a: Value) -> None:
    cx.fail_if(cx.is_nan(a), "linalg.svd: a matrix contains NaN", CheckKind.LINEAR_ALGEBRA)


def _pseudoinverse(a: Any, *bounds: Any, given: tuple[bool, bool], hermitian: bool) -> Any:
    """By the values above `max(atol, rtol * the largest)`; `given`: which of the two there are."""
    import jax.numpy as jnp

    if hermitian:
        values, u = _eigh(a, False)
        v = u
    else:
        u, values, vh = f.svd(a, False)
        v = _adjoint(vh)
    left = list(bounds)
    atol = left.pop(0) if given[0] else jnp.zeros((), values.dtype)
    default = jnp.where(atol > 0, 0, max(a.shape) * jnp.finfo(values.dtype).eps)
    rtol = left.pop(0) if given[1] else default
    size = jnp.abs(values)
    kept = size > jnp.maximum(atol, rtol * size.max())
    inverse = jnp.where(kept, 1 / jnp.where(kept, values, 1), 0).astype(a.dtype)
    return (v * inverse[None, :]) @ _adjoint(u)


@lowers("aten.linalg_pinv.atol_rtol_tensor")
def pinv(cx: Context, self: Value, atol: Value | None, rtol: Value | None, hermitian: bool) -> Value:
    if not hermitian:
        _refuse_nan(cx, self)
    bounds = [bound for bound in (atol, rtol) if bound is not None]
    return over_batches(
        cx, _pseudoinverse, self, *bounds, ranks=[2, *(0 for _ in bounds)],
        given=(atol is not None, rtol is not None), hermitian=hermitian,
    )  # fmt: skip
