"""Matrix factorisations as JAX functions of one matrix, in plain loops.

JAX's own would call LAPACK, which no portable module can. Signs and pivots follow LAPACK's conventions, so
that results agree with eager's where they are unique only by convention. Sizes are at least 1.
"""

from __future__ import annotations

from typing import Any

# Sweeps of a Jacobi method over all pairs: it converges quadratically, and 6 to 10 are common.
_SWEEPS = 15


def _size(x: Any) -> Any:
    """LAPACK's measure of a pivot: |re| + |im|."""
    import jax.numpy as jnp

    return jnp.abs(x.real) + jnp.abs(x.imag) if jnp.iscomplexobj(x) else jnp.abs(x)


def lu(a: Any, pivot: bool = True) -> tuple[Any, Any, Any]:
    """[m, n] -> L and U packed in [m, n], pivots [min(m, n)] (int32, from 1), permutation [m] of the rows."""
    import jax
    import jax.numpy as jnp

    m, n = a.shape
    count = min(m, n)
    rows = jnp.arange(m)
    if m == 1:
        return a, jnp.ones(1, jnp.int32), rows

    def step(k: Any, state: Any) -> Any:
        a, pivots, order = state
        column = a[:, k]
        sizes = jnp.where(rows >= k, _size(column), -1)
        at = jnp.argmax(sizes) if pivot else k
        pivots = pivots.at[k].set(jnp.asarray(at, jnp.int32) + 1)
        swapped = jnp.where(rows == k, at, jnp.where(rows == at, k, rows))
        a, order = a[swapped], order[swapped]
        divisor = a[k, k]
        scaled = jnp.where(divisor == 0, a[:, k], a[:, k] / jnp.where(divisor == 0, 1, divisor))
        factors = jnp.where(rows > k, scaled, 0)
        a = a.at[:, k].set(jnp.where(rows > k, scaled, a[:, k]))
        row = jnp.where(jnp.arange(n) > k, a[k], 0)
        return a - factors[:, None] * row[None, :], pivots, order

    start = (a, jnp.zeros(count, jnp.int32), rows)
    # One step needs no loop.
    return step(0, start) if count == 1 else jax.lax.fori_loop(0, count, step, start)


def permutation(pivots: Any, m: int) -> Any:
    """Row swaps of LAPACK [k], from 1, as a permutation of m rows."""
    import jax
    import jax.numpy as jnp

    rows = jnp.arange(m)

    def step(k: Any, order: Any) -> Any:
        at = pivots[k] - 1
        return order[jnp.where(rows == k, at, jnp.where(rows == at, k, rows))]

    return jax.lax.fori_loop(0, pivots.shape[0], step, rows)


def solve_triangular(a: Any, b: Any, lower: bool, unit: bool = False) -> Any:
    """X with A X = B for a triangular A [n, n] and B [n, k]; the other triangle is not read."""
    import jax
    import jax.numpy as jnp

    n = a.shape[0]
    if n == 1:
        return b if unit else b / a
    rows = jnp.arange(n)

    def step(i: Any, x: Any) -> Any:
        k = i if lower else n - 1 - i
        value = x[k] if unit else x[k] / a[k, k]
        left = rows > k if lower else rows < k
        x = x.at[k].set(value)
        return x - jnp.where(left, a[:, k], 0)[:, None] * value[None, :]

    return jax.lax.fori_loop(0, n, step, b)


def cholesky(a: Any) -> tuple[Any, Any]:
    """[n, n], of which the lower triangle is read -> L, and the order of the first bad minor or 0 (int32)."""
    import jax
    import jax.numpy as jnp

    n = a.shape[0]
    rows = jnp.arange(n)

    def step(k: Any, state: Any) -> Any:
        left, info = state
        column = a[:, k] - left @ left[k].conj()
        pivot = column[k].real
        bad = ~(pivot > 0)
        info = jnp.where((info == 0) & bad, k.astype(jnp.int32) + 1, info)
        root = jnp.sqrt(jnp.where(bad, 1, pivot)).astype(pivot.dtype)
        found = jnp.where(rows > k, column / root, jnp.where(rows == k, root.astype(a.dtype), 0))
        return left.at[:, k].set(jnp.where(info == 0, found, jnp.where(rows >= k, a[:, k], 0))), info

    return jax.lax.fori_loop(0, n, step, (jnp.zeros_like(a), jnp.zeros((), jnp.int32)))


def reflectors(a: Any) -> tuple[Any, Any]:
    """[m, n] -> R above and Householder vectors below the diagonal, and their factors [min(m, n)]."""
    import jax
    import jax.numpy as jnp

    m, n = a.shape
    rows = jnp.arange(m)

    def step(k: Any, state: Any) -> Any:
        a, taus = state
        column = a[:, k]
        alpha = column[k]
        tail = jnp.where(rows > k, column, 0)
        largest = jnp.max(jnp.abs(jnp.where(rows >= k, column, 0)))
        scale = jnp.where(largest > 0, largest, 1)
        rest = jnp.sum(jnp.abs(tail / scale) ** 2)
        length = scale * jnp.sqrt(jnp.abs(alpha / scale) ** 2 + rest)
        beta = jnp.where(alpha.real >= 0, -length, length)
        still = (rest == 0) & (alpha.imag == 0 if jnp.iscomplexobj(a) else True)
        safe = jnp.where(still, 1, beta)
        tau = jnp.where(still, 0, (safe - alpha) / safe).astype(a.dtype)
        divisor = jnp.where(still, 1, alpha - safe)
        vector = jnp.where(rows > k, tail / divisor, jnp.where(rows == k, 1, 0)).astype(a.dtype)
        # Of the trailing columns: A - conj(tau) v (vᴴ A).
        product = jnp.where(jnp.arange(n) > k, vector.conj() @ a, 0)
        a = a - jnp.conj(tau) * vector[:, None] * product[None, :]
        diagonal = jnp.where(still, alpha, beta.astype(a.dtype))
        stored = jnp.where(rows > k, vector, jnp.where(rows == k, diagonal, column))
        return a.at[:, k].set(stored), taus.at[k].set(tau)

    return jax.lax.fori_loop(0, min(m, n), step, (a, jnp.zeros(min(m, n), a.dtype)))


def product_of_reflectors(a: Any, taus: Any, columns: int) -> Any:
    """The first `columns` columns of H_0 H_1 ... for the vectors below the diagonal of [m, n]."""
    import jax
    import jax.numpy as jnp

    m = a.shape[0]
    rows = jnp.arange(m)
    count = taus.shape[0]

    def step(i: Any, q: Any) -> Any:
        k = count - 1 - i
        vector = jnp.where(rows > k, a[:, k], jnp.where(rows == k, 1, 0)).astype(a.dtype)
        return q - taus[k] * vector[:, None] * (vector.conj() @ q)[None, :]

    return jax.lax.fori_loop(0, count, step, jnp.eye(m, columns, dtype=a.dtype))


def qr(a: Any, columns: int) -> tuple[Any, Any]:
    """[m, n] -> Q [m, columns] and R [columns, n]."""
    import jax.numpy as jnp

    packed, taus = reflectors(a)
    return product_of_reflectors(packed, taus, columns), jnp.triu(packed)[:columns]


def _rotation(alpha: Any, beta: Any, gamma: Any) -> tuple[Any, Any]:
    """c (real) and s that diagonalise the Hermitian [[alpha, gamma], [conj(gamma), beta]]."""
    import jax.numpy as jnp

    size = jnp.abs(gamma)
    tiny = size == 0
    safe = jnp.where(tiny, 1, size)
    zeta = (beta - alpha) / (2 * safe)
    t = jnp.where(zeta >= 0, 1.0, -1.0).astype(size.dtype) / (
        jnp.abs(zeta) + jnp.hypot(zeta, jnp.ones_like(zeta))
    )
    c = 1 / jnp.sqrt(1 + t * t)
    s = c * t * gamma / safe
    return jnp.where(tiny, 1, c), jnp.where(tiny, 0, s)


def _turn(x: Any, p: Any, q: Any, c: Any, s: Any) -> Any:
    """Columns p and q of x become c x_p - conj(s) x_q and s x_p + c x_q."""
    first, second = x[:, p], x[:, q]
    return x.at[:, p].set(c * first - s.conj() * second).at[:, q].set(s * first + c * second)


def _sweeps(n: int, rotate: Any, state: Any) -> Any:
    """All pairs of columns, several times over."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    pairs = np.array([(p, q) for p in range(n) for q in range(p + 1, n)], np.int32).reshape(-1, 2)
    if not len(pairs):
        return state
    table = jnp.asarray(pairs)

    def step(i: Any, state: Any) -> Any:
        pair = table[i % len(pairs)]
        return rotate(pair[0], pair[1], state)

    return jax.lax.fori_loop(0, _SWEEPS * len(pairs), step, state)


def eigh(a: Any) -> tuple[Any, Any]:
    """A Hermitian [n, n] -> eigenvalues, ascending, and orthonormal eigenvectors as columns. By Jacobi."""
    import jax.numpy as jnp

    n = a.shape[0]

    def rotate(p: Any, q: Any, state: Any) -> Any:
        a, v = state
        c, s = _rotation(a[p, p].real, a[q, q].real, a[p, q])
        a = _turn(a, p, q, c, s)
        a = _turn(a.conj().T, p, q, c, s).conj().T
        return a, _turn(v, p, q, c, s)

    a, v = _sweeps(n, rotate, (a, jnp.eye(n, dtype=a.dtype)))
    values = jnp.diagonal(a).real
    order = jnp.argsort(values)
    return values[order], v[:, order]


def svd(a: Any, full: bool) -> tuple[Any, Any, Any]:
    """[m, n] -> U, the singular values, descending, and Vᴴ; `full`: square U and Vᴴ.

    One-sided Jacobi on the triangle of a QR. A second QR makes U orthonormal where singular values are 0.
    """
    import jax.numpy as jnp

    m, n = a.shape
    if m < n:
        u, s, vh = svd(a.conj().T, full)
        return vh.conj().T, s, u.conj().T
    q, r = qr(a, m if full else n)
    r = r[:n]

    def rotate(p: Any, q: Any, state: Any) -> Any:
        w, v = state
        left, right = w[:, p], w[:, q]
        norms = jnp.sum(jnp.abs(left) ** 2), jnp.sum(jnp.abs(right) ** 2)
        c, s = _rotation(*norms, jnp.sum(left.conj() * right))
        return _turn(w, p, q, c, s), _turn(v, p, q, c, s)

    w, v = _sweeps(n, rotate, (r, jnp.eye(n, dtype=a.dtype)))
    values = jnp.sqrt(jnp.sum(jnp.abs(w) ** 2, axis=0))
    order = jnp.argsort(-values)
    values, w, v = values[order], w[:, order], v[:, order]
    inner, diagonal = qr(w, n)
    signs = jnp.diagonal(diagonal)
    sizes = jnp.abs(signs)
    inner = inner * jnp.where(sizes == 0, 1, signs / jnp.where(sizes == 0, 1, sizes))[None, :]
    u = q.at[:, :n].set(q[:, :n] @ inner)
    return u, values, v.conj().T
