"""Slices that are inserted into the tensor that they are made of.

IREE 3.13 inserts in place and computes the slice in the same dispatch, or copies it within the buffer: where
what is read and what is written overlap, `x[1:] = x[:-1] + 1` reads what it has just written, and
`x[1:] = x[:-1]` fails. A barrier has IREE compute such a slice before.
"""

# IREE's bindings come without stubs of their native part.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from iree.compiler import ir

from lowering.targets.iree.converted import Converted, held, operations
from lowering.targets.iree.writes import VIEWS, written


def hold_insertions(converted: Converted) -> None:
    """Put a barrier before each insertion of what is made of the same tensor."""
    read = cache(_read)
    for op in converted.operations("tensor.insert_slice"):
        slice_, whole = op.operands[0], op.operands[1]
        if not _reached(whole, _kept).isdisjoint(_reached(slice_, read)):
            with ir.InsertionPoint(op), op.location:
                op.operands[0] = held(slice_)


def _read(op: ir.Operation) -> Iterable[ir.Value]:
    """The values that an operation reads, in its regions too."""
    inner = operations(op) if len(op.regions) else ()
    return [value for reader in (op, *inner) for value in reader.operands]


def _kept(op: ir.Operation) -> Iterable[ir.Value]:
    """The operands whose memory the results of an operation may have."""
    if op.name.startswith("scf."):
        return ()
    return [op.operands[at] for at in ((0,) if op.name in VIEWS else written(op))]


def _reached(
    value: ir.Value, edges: Callable[[ir.Operation], Iterable[ir.Value]]
) -> set[ir.Operation | ir.Value]:
    """The makers of a value, direct and indirect; an argument of a block stands for itself."""
    seen: set[ir.Operation | ir.Value] = set()
    left = [value]
    while left:
        found = left.pop()
        is_argument = isinstance(found.owner, ir.Block)
        maker = found if is_argument else found.owner.operation
        if maker not in seen:
            seen.add(maker)
            left += () if is_argument else edges(maker)
    return seen
