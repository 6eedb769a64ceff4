"""Bounds on operations that IREE compiles but that run for hours, checked in the converted module.

One table, measured on IREE 3.13: a kind of operation, how its cost follows from its operands' sizes, and the
most that is let through.
"""

# IREE's bindings come without stubs of their native part.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import re
from collections.abc import Callable
from math import inf, prod
from typing import TYPE_CHECKING, NamedTuple

from lowering.ir.errors import EngineError
from lowering.targets.diagnostics import named_location

if TYPE_CHECKING:
    from iree.compiler import ir

    from lowering.targets.iree.converted import Converted

# Which operations share a loop is the compiler's choice; it checks the number only at load.
_BINDINGS = re.compile(r"binding count (\d+) > (\d+)")


class Limit(NamedTuple):
    """A bound on the cost of an operation of a kind.

    `cost(operation, sizes)`: the cost, by the sizes of the first operand. Above `most` the operation is
    refused for `reason`, which may name `{cost}` and `{most}`.
    """

    kind: str
    cost: Callable[[ir.Operation, tuple[int, ...]], int]
    most: int
    reason: str


def _comparisons(sort: ir.Operation, sizes: tuple[int, ...]) -> int:
    return prod(sizes) * sizes[sort.attributes["dimension"].value]


LIMITS = (
    # A bubble sort, 4 to 20 ns a comparison: 1,000 numbers take 18 ms, 3,000 140 ms, 100,000 minutes.
    Limit(
        "iree_linalg_ext.sort",
        _comparisons,
        1_000_000,
        "its sort compares every number with every other: {cost:,} comparisons here, and at most {most:,} "
        "(1,000 numbers in one row) are let through",
    ),
)


def check_limits(converted: Converted) -> None:
    """Raise EngineError, with the node, for the first operation over a limit, or with a size of the call."""
    for limit in LIMITS:
        for op in converted.operations(limit.kind):
            type_ = op.operands[0].type
            cost = limit.cost(op, tuple(type_.shape)) if type_.has_static_shape else inf
            if cost > limit.most:
                reason = limit.reason.format(cost=cost, most=limit.most)
                raise EngineError(f"iree {converted.source.name}: {reason}", named_location(str(op.location)))


def explain(failure: str) -> str:
    """A failure at load, in other words where those are only IREE's."""
    found = _BINDINGS.search(failure)
    if found is None:
        return failure
    return f"one of its loops uses {found[1]} tensors at once, and IREE takes {found[2]} at most"
