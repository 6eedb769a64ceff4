"""Arithmetic on symbolic scalars as nodes of a graph, folded where the numbers are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lowering.ir.program import Arg, Ref
from lowering.ir.symbols import Apply, Term
from lowering.ir.types import SymKind, SymType

if TYPE_CHECKING:
    from lowering.passes.builder import Builder


def narrowed(builder: Builder, start: Arg, size: Arg, length: Arg) -> tuple[Arg, Arg]:
    """Where a slice begins and ends that `narrow` takes of an axis of this size."""
    low = wrapped(builder, start, size)
    return low, added(builder, low, length)


def wrapped(builder: Builder, number: Arg, size: Arg) -> Arg:
    """A place on an axis: a number that is negative counts from the end."""
    if isinstance(number, int) and (number >= 0 or isinstance(size, int)):
        return number if number >= 0 else added(builder, number, size)
    other, term = added(builder, number, size), _term(builder, number)
    if isinstance(number, int):
        return other
    below = Apply("StrictLessThan", (term, 0))
    condition = builder.call("_operator.lt", SymType(SymKind.BOOL, below), a=number, b=0)
    type_ = SymType(SymKind.INT, Apply("Piecewise", (_term(builder, other), below, term, True)))
    return Ref(builder.call("torch.sym_ite", type_, b=Ref(condition), t=other, f=number))


def added(builder: Builder, a: Arg, b: Arg) -> Arg:
    """The sum of two integers."""
    if isinstance(a, int) and isinstance(b, int):
        return a + b
    return _combined(builder, "_operator.add", "Add", a, b)


def greater(builder: Builder, a: Arg, b: Arg) -> Arg:
    """The greater of two integers."""
    if isinstance(a, int) and isinstance(b, int):
        return max(a, b)
    return _combined(builder, "torch.sym_max", "Max", a, b)


def smaller(builder: Builder, a: Arg, b: Arg) -> Arg:
    """The smaller of two integers."""
    if isinstance(a, int) and isinstance(b, int):
        return min(a, b)
    return _combined(builder, "torch.sym_min", "Min", a, b)


def _combined(builder: Builder, target: str, op: str, a: Arg, b: Arg) -> Arg:
    type_ = SymType(SymKind.INT, Apply(op, (_term(builder, a), _term(builder, b))))
    return Ref(builder.call(target, type_, a=a, b=b))


def _term(builder: Builder, arg: Arg) -> Term:
    if isinstance(arg, int):
        return arg
    assert isinstance(arg, Ref)
    type_ = builder.values[arg.name]
    assert isinstance(type_, SymType)
    return type_.value
