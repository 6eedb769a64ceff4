"""Arithmetic on symbolic scalars as nodes of a graph, folded where the numbers are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lowering.ir.program import Arg, Ref
from lowering.ir.symbols import Apply, Term
from lowering.ir.types import SymKind, SymType

if TYPE_CHECKING:
    from lowering.passes.builder import Builder


def narrowed(builder: Builder, start: Arg, size: Arg, length: Arg) -> tuple[Arg, Arg]:
    """Where a slice begins and ends that `narrow` takes of an axis of this size.

    A start that is negative counts from the end.
    """
    if not isinstance(start, int) or start < 0:
        wrapped = added(builder, start, size)
        start = wrapped if isinstance(start, int) else _where_negative(builder, start, wrapped)
    return start, added(builder, start, length)


def added(builder: Builder, a: Arg, b: Arg) -> Arg:
    """The sum of two integers."""
    if isinstance(a, int) and isinstance(b, int):
        return a + b
    type_ = SymType(SymKind.INT, Apply("Add", (_term(builder, a), _term(builder, b))))
    return Ref(builder.call("_operator.add", type_, a=a, b=b))


def _where_negative(builder: Builder, number: Arg, other: Arg) -> Arg:
    term = _term(builder, number)
    below = Apply("StrictLessThan", (term, 0))
    condition = builder.call("_operator.lt", SymType(SymKind.BOOL, below), a=number, b=0)
    type_ = SymType(SymKind.INT, Apply("Piecewise", (_term(builder, other), below, term, True)))
    return Ref(builder.call("torch.sym_ite", type_, b=Ref(condition), t=other, f=number))


def _term(builder: Builder, arg: Arg) -> Term:
    if isinstance(arg, int):
        return arg
    assert isinstance(arg, Ref)
    type_ = builder.values[arg.name]
    assert isinstance(type_, SymType)
    return type_.value
