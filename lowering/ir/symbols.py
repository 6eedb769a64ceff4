"""Symbolic integers: sizes as expressions over named symbols."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Symbol:
    """A size unknown until the call: `s77` (from the inputs' shapes) or `u0` (from the data)."""

    name: str


@dataclass(frozen=True, slots=True)
class Apply:
    """An operation over expressions, by SymPy's name: `Add`, `Mul`, `FloorDiv`, `Mod`, `Max`, `GreaterThan`..."""

    op: str
    args: tuple[Dim, ...]


Expr = Symbol | Apply
Dim = int | Expr
