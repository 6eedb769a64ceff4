"""The range of an integer value, from the operations that made it: most indices then need no check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from lowering.stablehlo.hlo import ir

# How many operations back one looks.
_DEPTH = 24

# Their elements are among those of their first operand.
_CARRIES = frozenset(
    f"stablehlo.{name}"
    for name in "broadcast_in_dim reshape transpose slice convert reverse gather dynamic_slice".split()
)


class Interval(NamedTuple):
    """Inclusive bounds."""

    low: int
    high: int


Known = dict[ir.Value, Interval]


def interval(value: ir.Value, depth: int = _DEPTH, known: Known | None = None) -> Interval:
    """Bounds of all elements of a tensor of integers or booleans; those of its type where its making does not
    tell.

    `known`: what was found so far of other values, which is added to.
    """
    known = {} if known is None else known
    if value not in known:
        limits = _limits(value)
        found = _found(value, depth - 1, known) if depth else None
        # Elements that the type does not hold have wrapped around.
        known[value] = limits if found is None or not _holds(limits, found) else found
    return known[value]


def _limits(value: ir.Value) -> Interval:
    element = ir.IntegerType(ir.RankedTensorType(value.type).element_type)
    if element.is_unsigned or element.width == 1:
        return Interval(0, (1 << element.width) - 1)
    return Interval(-(1 << element.width - 1), (1 << element.width - 1) - 1)


def _holds(limits: Interval, found: Interval) -> bool:
    return limits.low <= found.low and found.high <= limits.high


def _is_whole(value: ir.Value) -> bool:
    return isinstance(ir.RankedTensorType(value.type).element_type, ir.IntegerType)


def _found(value: ir.Value, depth: int, known: Known) -> Interval | None:
    owner = value.owner
    if isinstance(owner, ir.Block):
        return _in_a_loop(value, owner, depth, known)
    name, operands = owner.name, list(owner.operands)
    if name == "stablehlo.iota":
        shape = ir.RankedTensorType(value.type).shape
        size = shape[ir.IntegerAttr(owner.attributes["iota_dimension"]).value]
        return Interval(0, max(size - 1, 0))
    if name == "stablehlo.constant":
        return _of_constant(owner.attributes["value"])
    if name in _CARRIES:
        return interval(operands[0], depth, known) if _is_whole(operands[0]) else None
    if name == "stablehlo.select" and (wrapped := _counted_from_the_end(operands, depth, known)):
        return wrapped
    combine = _COMBINES.get(name)
    if combine is None:
        return None
    return combine(*(interval(part, depth, known) for part in operands[name == "stablehlo.select" :]))


def _of_constant(attribute: ir.Attribute) -> Interval | None:
    """None for one without elements, and for booleans, which have bounds by their type."""
    elements = ir.DenseElementsAttr(attribute)
    if elements.is_splat:
        number = ir.IntegerAttr(elements.get_splat_value()).value
        return Interval(number, number)
    numbers = [int(number) for number in ir.DenseIntElementsAttr(attribute)]
    return Interval(min(numbers), max(numbers)) if numbers else None


# ---- what operations make of the bounds of their operands ----


def _product(a: Interval, b: Interval) -> Interval:
    corners = [x * y for x in a for y in b]
    return Interval(min(corners), max(corners))


def _union(*parts: Interval) -> Interval:
    return Interval(min(part.low for part in parts), max(part.high for part in parts))


def _remainder(a: Interval, b: Interval) -> Interval | None:
    """It has the sign of the dividend."""
    if b.low <= 0:
        return None
    return Interval(max(a.low, 1 - b.high) if a.low < 0 else 0, max(min(a.high, b.high - 1), 0))


def _clamped(low: Interval, x: Interval, high: Interval) -> Interval:
    return Interval(
        min(max(x.low, low.low), high.low),
        min(max(x.high, low.high), high.high),
    )


_COMBINES: dict[str, Callable[..., Interval | None]] = {
    "stablehlo.add": lambda a, b: Interval(a.low + b.low, a.high + b.high),
    "stablehlo.subtract": lambda a, b: Interval(a.low - b.high, a.high - b.low),
    "stablehlo.multiply": _product,
    "stablehlo.remainder": _remainder,
    "stablehlo.maximum": lambda a, b: Interval(max(a.low, b.low), max(a.high, b.high)),
    "stablehlo.minimum": lambda a, b: Interval(min(a.low, b.low), min(a.high, b.high)),
    "stablehlo.clamp": _clamped,
    "stablehlo.concatenate": _union,
    "stablehlo.select": _union,
}


def _counted_from_the_end(operands: list[ir.Value], depth: int, known: Known) -> Interval | None:
    """Of `select(x < 0, x + size, x)`; None for any other selection."""
    predicate, wrapped, x = operands
    test, sum_ = predicate.owner, wrapped.owner
    if isinstance(test, ir.Block) or test.name != "stablehlo.compare" or isinstance(sum_, ir.Block):
        return None
    below = "LT" in str(test.attributes["comparison_direction"]) and test.operands[0] == x
    if not below or sum_.name != "stablehlo.add" or sum_.operands[0] != x:
        return None
    zero, size, found = (interval(v, depth, known) for v in (test.operands[1], sum_.operands[1], x))
    if zero != (0, 0):
        return None
    parts = []
    if found.low < 0:
        parts.append(Interval(found.low + size.low, min(found.high, -1) + size.high))
    if found.high >= 0:
        parts.append(Interval(max(found.low, 0), found.high))
    return _union(*parts)


# ---- loops ----


def _in_a_loop(value: ir.Value, block: ir.Block, depth: int, known: Known) -> Interval | None:
    """Of an argument of a loop's body that each turn leaves as it is, or adds a constant to."""
    loop: Any = block.owner
    if loop is None or loop.operation.name != "stablehlo.while":
        return None
    body = _complete(loop, 1)
    if body is None or body != block:
        return None
    at = ir.BlockArgument(value).arg_number
    if not _is_whole(value):
        return None
    start = interval(loop.operation.operands[at], depth, known)
    if _results(body)[at] == value:
        return start
    step, turns = _step(body, at), _most_turns(loop, body, depth, known)
    if step is None or turns is None:
        return None
    way = step * (turns - 1)
    return Interval(start.low + min(way, 0), start.high + max(way, 0))


def _complete(loop: Any, region: int) -> ir.Block | None:
    """A region's block; None while it is being built."""
    blocks = list(loop.operation.regions[region].blocks)
    last = list(blocks[0].operations)[-1:] if blocks else []
    return blocks[0] if last and last[0].operation.name == "stablehlo.return" else None


def _results(block: ir.Block) -> list[ir.Value]:
    return list(list(block.operations)[-1].operation.operands)


def _step(body: ir.Block, at: int) -> int | None:
    """The step that each turn adds to an argument; None where the step varies."""
    owner = _results(body)[at].owner
    if isinstance(owner, ir.Block) or owner.name != "stablehlo.add":
        return None
    argument, constant = owner.operands
    if argument != body.arguments[at] or isinstance(constant.owner, ir.Block):
        return None
    if constant.owner.name != "stablehlo.constant":
        return None
    found = _of_constant(constant.owner.attributes["value"])
    return found.low if found is not None and found.low == found.high else None


def _most_turns(loop: Any, body: ir.Block, depth: int, known: Known) -> int | None:
    """How often a loop runs at most, at least once: it ends where a counter reaches its limit."""
    test = _complete(loop, 0)
    if test is None:
        return None
    counted: list[int] = []
    left = _results(test)
    while left:
        owner = left.pop().owner
        if isinstance(owner, ir.Block):
            continue
        if owner.name == "stablehlo.and":
            left += list(owner.operands)
        if owner.name != "stablehlo.compare" or "LT" not in str(owner.attributes["comparison_direction"]):
            continue
        counter, limit = owner.operands
        if not isinstance(counter.owner, ir.Block) or counter.owner != test or not _is_whole(counter):
            continue
        at = ir.BlockArgument(counter).arg_number
        step, end = _step(body, at), interval(limit, depth, known)
        start = interval(loop.operation.operands[at], depth, known)
        if step is None or step < 1:
            continue
        # Where the type does not hold the last sum, the counter never reaches its limit.
        if _holds(_limits(counter), Interval(start.low, end.high + step)):
            counted.append(max(-(-(end.high - start.low) // step), 1))
    return min(counted, default=None)
