"""Functions of jax.scipy.special, on values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lowering.stablehlo.context import Context
from lowering.stablehlo.value import Value


def apply_special(*operands: Any, function: str) -> Any:
    """A function of jax.scipy.special, traced by `Context.jax`."""
    import jax.scipy.special as library

    return getattr(library, function)(*operands)


def in_jax(cx: Context, function: str) -> Callable[..., Value]:
    """A function of jax.scipy.special, on values."""
    return lambda *operands: cx.jax_elementwise(apply_special, *operands, function=function)
