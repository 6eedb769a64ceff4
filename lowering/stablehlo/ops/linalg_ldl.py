"""Solving with a Bunch-Kaufman factorisation A = P L D L^H P^H, as LAPACK packs it."""

from __future__ import annotations

from typing import Any

from lowering.stablehlo.context import Context
from lowering.stablehlo.ops.linalg import over_batches
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.value import Value


@lowers("aten.linalg_ldl_solve.default")
def ldl_solve(cx: Context, LD: Value, pivots: Value, B: Value, hermitian: bool) -> Value:
    return over_batches(cx, _solve, LD, pivots, B, ranks=[2, 1, 2], hermitian=hermitian)


def _solve(ld: Any, pivots: Any, b: Any, hermitian: bool) -> Any:
    """X [n, k] with A X = B. ld: [n, n], L below D; pivots: [n], from 1, negative for the 2x2 blocks of D."""
    import jax
    import jax.numpy as jnp

    n = ld.shape[0]
    rows = jnp.arange(n)[:, None]

    def turned(x: Any) -> Any:
        return jnp.conj(x) if hermitian else x

    def diagonal(i: Any) -> Any:
        return ld[i, i].real.astype(ld.dtype) if hermitian else ld[i, i]

    def swapped(x: Any, one: Any, other: Any) -> Any:
        order = jnp.where(rows == one, other, jnp.where(rows == other, one, rows))
        return x[order[:, 0]]

    def forward(state: Any) -> Any:
        """A block of L and of D from the left: row k, and the next if the block is 2x2."""
        k, x = state
        two = pivots[k] < 0
        last = k + two
        after = jnp.minimum(k + 1, n - 1)
        x = swapped(x, last, jnp.abs(pivots[k]) - 1)
        first, second = x[k], jnp.where(two, x[after], 0)
        below = ld[:, k, None] * first + ld[:, after, None] * second
        x = x - jnp.where(rows > last, below, 0)
        cross = jnp.where(two, ld[after, k], 1)
        upper, lower = diagonal(k) / turned(cross), diagonal(after) / cross
        left, right = first / turned(cross), second / cross
        divisor = upper * lower - 1
        solved = jnp.where(two, (lower * left - right) / divisor, first / diagonal(k))
        beside = (upper * right - left) / divisor
        x = jnp.where(rows == k, solved, jnp.where(two & (rows == last), beside, x))
        return last + 1, x

    def backward(state: Any) -> Any:
        """A block of L^H from the left: row k, and the one before if the block is 2x2."""
        k, x = state
        two = pivots[k] < 0
        first = k - two
        below = jnp.where(rows > k, x, 0)
        sums = [turned(ld[:, i]) @ below for i in (k, first)]
        x = x - jnp.where(rows == k, sums[0], jnp.where(rows == first, sums[1], 0))
        return first - 1, swapped(x, k, jnp.abs(pivots[k]) - 1)

    _, b = jax.lax.while_loop(lambda state: state[0] < n, forward, (jnp.int32(0), b))
    _, b = jax.lax.while_loop(lambda state: state[0] >= 0, backward, (jnp.int32(n - 1), b))
    return b
