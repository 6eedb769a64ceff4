"""Names and a bound that compilation and execution share. This file needs no part of IREE."""

from __future__ import annotations

from math import prod

from lowering.ir.module import Module

MAIN = "main"
"""The entry of a module."""

MAIN_IN = "main_in"
"""The entry that takes memory for what a call makes and drops, as its last argument."""

SCOPE = "model"
"""The parameter scope of all weights, as `--parameters=model=...` of IREE's own tools has it."""

# In bytes, of arguments, results and weights.
_SMALL = 1 << 16


def is_small(module: Module) -> bool:
    """Whether a module has so little data that threads, or memory that is kept, cost more than they gain."""
    ports = (*module.inputs, *module.outputs)
    return sum(prod(port.sizes) * port.dtype.itemsize for port in ports) < _SMALL
