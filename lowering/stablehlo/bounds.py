"""The range of an integer value, from the operations that made it: most indices then need no check."""

from __future__ import annotations

from typing import NamedTuple

from lowering.stablehlo.hlo import ir

# How many operations back one looks.
_DEPTH = 12

_CARRIES = frozenset(
    f"stablehlo.{name}" for name in "broadcast_in_dim reshape transpose slice convert reverse".split()
)


class Interval(NamedTuple):
    """Inclusive bounds."""

    low: int
    high: int


def interval(value: ir.Value, depth: int = _DEPTH) -> Interval | None:
    """Bounds of all elements of an integer tensor; None where its making does not tell."""
    owner = value.owner
    if depth == 0 or isinstance(owner, ir.Block) or not str(value.type).rstrip(">").endswith(_INTEGERS):
        return None
    operands = list(owner.operands)
    name = owner.name
    if name == "stablehlo.iota":
        shape = ir.RankedTensorType(value.type).shape
        size = shape[ir.IntegerAttr(owner.attributes["iota_dimension"]).value]
        return Interval(0, max(size - 1, 0))
    if name == "stablehlo.constant":
        return _of_constant(owner.attributes["value"])
    if name in _CARRIES:
        return interval(operands[0], depth - 1)
    if name not in _COMBINES:
        return None
    parts = [interval(operand, depth - 1) for operand in operands[-2:]]
    a, b = parts
    return None if a is None or b is None else _COMBINES[name](a, b)


_INTEGERS = ("xi8", "xi16", "xi32", "xi64", "xui8", "<i8", "<i16", "<i32", "<i64", "<ui8")


def _of_constant(attribute: ir.Attribute) -> Interval | None:
    elements = ir.DenseElementsAttr(attribute)
    if elements.is_splat:
        number = ir.IntegerAttr(elements.get_splat_value()).value
        return Interval(number, number)
    numbers = [int(number) for number in ir.DenseIntElementsAttr(attribute)]
    return Interval(min(numbers), max(numbers)) if numbers else None


def _product(a: Interval, b: Interval) -> Interval:
    corners = [x * y for x in a for y in b]
    return Interval(min(corners), max(corners))


def _union(a: Interval, b: Interval) -> Interval:
    return Interval(min(a.low, b.low), max(a.high, b.high))


_COMBINES = {
    "stablehlo.add": lambda a, b: Interval(a.low + b.low, a.high + b.high),
    "stablehlo.subtract": lambda a, b: Interval(a.low - b.high, a.high - b.low),
    "stablehlo.multiply": _product,
    "stablehlo.maximum": lambda a, b: Interval(max(a.low, b.low), max(a.high, b.high)),
    "stablehlo.minimum": lambda a, b: Interval(min(a.low, b.low), min(a.high, b.high)),
    "stablehlo.select": _union,
}
