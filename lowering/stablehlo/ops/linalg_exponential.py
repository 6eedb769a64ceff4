"""The exponential of a matrix."""

from __future__ import annotations

from typing import Any

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.ops.linalg import over_batches
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.value import Value

# Coefficients of 1, A, A², A³, A⁶ in five polynomials from which five products make Taylor's polynomial of
# degree 18: P. Bader, S. Blanes, F. Casas, Computing the matrix exponential with an optimized Taylor
# polynomial approximation, Mathematics 7 (2019).
_TAYLOR_18 = (
    (0, -1.00365581030144618291e-01, -8.02924648241156932449e-03, -8.92138498045729985177e-04, 0),
    (0, 3.97849749499645077844e-01, 1.36783778460411720168e00, 4.98289622525382669416e-01,
     -6.37898194594723280150e-04),
    (-1.09676396052962061844e01, 1.68015813878906206114e00, 5.71779846478865511061e-02,
     -6.98210122488052056106e-03, 3.34975017086070470649e-05),
    (-9.04316832390810593223e-02, -6.76404519071381882256e-02, 6.75961301770459654925e-02,
     2.95552570429315521194e-02, -1.39180257516060693404e-05),
    (0, 0, -9.23364619367118555360e-02, -1.69364939002081722752e-02, -1.40086798182036094347e-05),
)  # fmt: skip
# Eager multiplies smaller matrices in a loop of its own: it adds terms up in order, each rounded. Squaring
# makes thousands of roundings of each, so that no other order gives eager's digits.
_IN_ORDER = 400


def _rounded(term: Any) -> Any:
    """A product that is rounded before what it is added to, where multiply-and-add would round once."""
    import jax

    return jax.lax.optimization_barrier(term)


def _product(a: Any, b: Any) -> Any:
    size = a.shape[0]
    if size**3 >= _IN_ORDER:
        return a @ b
    return sum(_rounded(a[:, k : k + 1] * b[k : k + 1]) for k in range(size))


def _exponential(a: Any) -> Any:
    """Taylor's polynomial of degree 18 of A / 2^s, squared s times; s such that its remainder rounds away."""
    import jax
    import jax.numpy as jnp

    norm = jnp.max(jnp.sum(jnp.abs(a), axis=0))
    largest = 3.010066362817634 if norm.dtype == jnp.float32 else 1.090863719290036
    halvings = jnp.maximum(jnp.ceil(jnp.log2(jnp.maximum(norm / largest, 1))), 0).astype(jnp.int32)
    scaled = a / jnp.exp2(halvings).astype(norm.dtype)
    square = _product(scaled, scaled)
    cube = _product(scaled, square)
    powers = (jnp.eye(a.shape[0], dtype=a.dtype), scaled, square, cube, _product(cube, cube))
    first, second, third, fourth, fifth = (
        sum(_rounded(jnp.asarray(c, norm.dtype) * power) for c, power in zip(row, powers, strict=True) if c)
        for row in _TAYLOR_18
    )
    ninth = fourth + _product(first, fifth)
    result = second + _product(third + ninth, ninth)
    return jax.lax.fori_loop(0, halvings, lambda _, x: _product(x, x), result)


@lowers("aten.linalg_matrix_exp.default")
def matrix_exp(cx: Context, self: Value) -> Value:
    if self.dtype not in (DType.FLOAT32, DType.FLOAT64, DType.COMPLEX64, DType.COMPLEX128):
        raise Unsupported(f"eager's own exponential of {self.dtype} matrices has other values, often NaN")
    return over_batches(cx, _exponential, self, ranks=[2])
