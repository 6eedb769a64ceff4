"""A StableHLO module as a plain value: what emission makes and an engine compiles."""

from __future__ import annotations

from dataclasses import dataclass

from lowering.ir.types import DType


@dataclass(frozen=True, slots=True)
class Port:
    """One argument or result of a module's `@main`: dense, row-major, of static sizes.

    `weight`: the full name of the weight this argument always is (its bytes never change between calls), or
    None for an argument that comes with each call.
    """

    name: str
    dtype: DType
    sizes: tuple[int, ...]
    weight: str | None = None


@dataclass(frozen=True, slots=True)
class Module:
    """A StableHLO module as portable bytecode, and the types of its `@main`.

    `checks`: what must hold of the data, one sentence each, as the error says it. If there are any, the last
    output is a bool tensor with one element per check, True where it does not hold.
    """

    code: bytes
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    name: str = "main"
    checks: tuple[str, ...] = ()
