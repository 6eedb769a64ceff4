"""What IREE compiles but should not run: found in the converted module, before hours go by.

One table, measured on IREE 3.13: a kind of operation, how its cost follows from its operands' sizes, and the
most that is let through.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import prod
from typing import NamedTuple

from lowering.ir.errors import EngineError
from lowering.targets.diagnostics import named_location

_TENSOR = re.compile(r"tensor<((?:\d+x)*)")

# Which operations share a loop is the compiler's choice; it checks the number only at load.
_BINDINGS = re.compile(r"binding count (\d+) > (\d+)")


class Limit(NamedTuple):
    """`opening`: an operation's first line, with a group `sizes` that holds its first operand's type.

    `cost(match, sizes)`: what it takes; above `most` it is refused, for `reason`, which may name `{cost}`,
    `{most}` and the groups of `opening`.
    """

    opening: re.Pattern[str]
    cost: Callable[[re.Match[str], tuple[int, ...]], int]
    most: int
    reason: str


def _comparisons(sort: re.Match[str], sizes: tuple[int, ...]) -> int:
    return prod(sizes) * sizes[int(sort["axis"])]


LIMITS = (
    # A bubble sort, 4 to 20 ns a comparison: 1,000 numbers take 18 ms, 3,000 140 ms, 100,000 minutes.
    Limit(
        re.compile(r"iree_linalg_ext\.sort dimension\((?P<axis>\d+)\) outs\([^:]*: (?P<sizes>tensor<[^>]*>)"),
        _comparisons,
        1_000_000,
        "its sort compares every number with every other: {cost:,} comparisons here, and at most {most:,} "
        "(1,000 numbers in one row) are let through",
    ),
)


def check_limits(text: str, name: str) -> None:
    """Raise EngineError, with the node, for the first operation of a converted module over a limit."""
    lines = text.splitlines()
    for at, line in enumerate(lines):
        for limit in LIMITS:
            found = limit.opening.search(line)
            if found is None:
                continue
            cost = limit.cost(found, _sizes(found["sizes"]))
            if cost > limit.most:
                reason = limit.reason.format(cost=cost, most=limit.most, **found.groupdict())
                raise EngineError(f"iree {name}: {reason}", named_location(_last_line(lines, at)))


def explain(failure: str) -> str:
    """A failure at load, in other words where those are only IREE's."""
    found = _BINDINGS.search(failure)
    if found is None:
        return failure
    return f"one of its loops uses {found[1]} tensors at once, and IREE takes {found[2]} at most"


def _sizes(tensor: str) -> tuple[int, ...]:
    found = _TENSOR.match(tensor)
    assert found is not None, "the patterns of the table match tensor types"
    return tuple(int(size) for size in found[1].split("x") if size)


def _last_line(lines: list[str], at: int) -> str:
    """The line that an operation with a region ends on, and that bears its location."""
    opening = lines[at]
    if not opening.rstrip().endswith("{"):
        return opening
    closing = opening[: len(opening) - len(opening.lstrip())] + "}"
    return next((line for line in lines[at + 1 :] if line.startswith(closing)), "")
