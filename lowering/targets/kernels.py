"""Kernels of the user's operators: made when a program is loaded, and called for a node. This file imports no
torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lowering.ir.program import Node

# The arguments by name; returns and writes as the operator does.
Kernel = Callable[..., Any]
# Gets the node, the arguments that are the same in each call, and the device.
Factory = Callable[[Node, Mapping[str, Any], str], Kernel]

_FACTORIES: dict[str, Factory] = {}


def add_kernel(target: str, factory: Factory) -> None:
    """Register a factory for an overload, in place of another."""
    _FACTORIES[target] = factory


def kernel_for(target: str) -> Factory | None:
    """The function that makes the kernels of an overload."""
    return _FACTORIES.get(target)
