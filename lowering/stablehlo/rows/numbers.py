"""Bounds of integers that a module computes: places in tensors, sizes, and comparisons between them.

`x[arange(batch), place]` takes an element of each row by the row's number. Its module compares the numbers
with the batch size, and moves those that are negative. Bounds tell that none is, and that each row takes its
own elements.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from lowering.stablehlo.hlo import ir, stablehlo
from lowering.stablehlo.rows.states import Rows, State

if TYPE_CHECKING:
    from lowering.stablehlo.rows.flow import Flow

# Constants of more elements have no bounds.
_FEW = 64
_WIDE = 32


@dataclass(frozen=True, slots=True)
class Known:
    """Integers that are `step * row + rest`, where `rest` is within bounds; None: not bounded.

    `alike`: whether equal rows of the arguments give equal rests. Bounds are sizes, perhaps the batch size.
    """

    step: int
    low: int | None
    high: int | None
    alike: bool = True

    @property
    def exact(self) -> int | None:
        """The number that all of them are, where they are one."""
        low, high = self.low, self.high
        is_one = low is not None and high is not None and _is_zero(high - low) and _is_zero(self.step)
        return low if is_one else None


_Rule: TypeAlias = "Callable[[Flow, Any], Known | None]"


def _is_zero(size: int) -> bool:
    return type(size) is int and size == 0


def known_of(flow: Flow, op: Any) -> Known | None:
    """The bounds of an operation's only result."""
    rule = _RULES.get(op.name.partition(".")[2])
    if rule is None or not _is_integer(op.results[0]):
        return None
    return rule(flow, op)


def stands_for(flow: Flow, op: Any) -> ir.Value | None:
    """The operand that an operation always gives, as bounds tell."""
    name = op.name.partition(".")[2]
    if name not in ("maximum", "minimum", "select", "or", "and"):
        return None
    operands = list(op.operands)
    known = [flow.known(operand) for operand in operands]
    if name == "select":
        chosen = known[0].exact if known[0] is not None else None
        return None if chosen is None else operands[1 if chosen else 2]
    if name in ("or", "and"):
        neutral = int(name == "and")
        return next((operands[1 - at] for at in (0, 1) if _is(known[at], neutral)), None)
    left, right = (_whole(flow, part) for part in known)
    for at, (lower, upper) in enumerate(((left, right), (right, left))):
        if _at_most(flow, lower[1], upper[0]):
            return operands[1 - at if name == "maximum" else at]
    return None


def placed(flow: Flow, known: Known, state: State) -> Known:
    """The bounds of a value in this state; without rows, of the numbers themselves."""
    if _is_zero(known.step) or (isinstance(state, Rows) and state.layout is not None):
        return known
    low, high = _whole(flow, known)
    return Known(0, low, high, alike=False)


def within_row(flow: Flow, known: Known | None, elements: int) -> bool:
    """Whether places are of elements of their own row, of which each has so many."""
    if known is None or known.low is None or known.high is None:
        return False
    inside = _at_most(flow, 0, known.low) and _at_most(flow, known.high, elements - 1)
    return inside and flow.batch.equal(known.step, elements)


def _is(known: Known | None, number: int) -> bool:
    return known is not None and known.exact is not None and known.exact == number


def _is_integer(value: ir.Value) -> bool:
    type_ = value.type
    return isinstance(type_, ir.RankedTensorType) and isinstance(type_.element_type, ir.IntegerType)


def _width(value: ir.Value) -> int:
    """The bits of an integer."""
    return ir.IntegerType(ir.RankedTensorType(value.type).element_type).width


def _whole(flow: Flow, known: Known | None) -> tuple[int | None, int | None]:
    """The bounds of the numbers themselves."""
    if known is None:
        return None, None
    if _is_zero(known.step):
        return known.low, known.high
    if not _at_most(flow, 0, known.step):
        return None, None
    high = None if known.high is None else known.high + known.step * (flow.batch.size - 1)
    return known.low, high


def _at_most(flow: Flow, left: int | None, right: int | None) -> bool:
    return left is not None and right is not None and flow.batch.at_most(left, right)


# ------------------------------------------------------------------------------------------------ operations


def _constant(flow: Flow, op: Any) -> Known | None:
    attribute = ir.DenseElementsAttr(op.attributes["value"])
    if not attribute.is_splat and len(attribute) > _FEW:
        return None
    is_bool = _width(op.results[0]) == 1
    found = [int(number) for number in ir.DenseIntElementsAttr(attribute)][:_FEW]
    numbers = [int(bool(number)) if is_bool else number for number in found]
    return Known(0, min(numbers), max(numbers)) if numbers else None


def _size(flow: Flow, op: Any) -> Known | None:
    size = flow.shape(op.operands[0])[ir.IntegerAttr(op.attributes["dimension"]).value]
    return Known(0, size, size)


def _iota(flow: Flow, op: Any) -> Known | None:
    shape = flow.shape(op.results[0])
    axis = ir.IntegerAttr(op.attributes["iota_dimension"]).value
    if flow.batch.equal(shape[axis], flow.batch.size):
        return Known(1, 0, 0)
    return None if flow.batch.sizes(shape[axis]) else Known(0, 0, shape[axis] - 1)


def _moved(flow: Flow, op: Any) -> Known | None:
    """The same elements in other places."""
    return flow.known(op.operands[0])


def _convert(flow: Flow, op: Any) -> Known | None:
    if not _is_integer(op.operands[0]):
        return None
    before, after = _width(op.operands[0]), _width(op.results[0])
    return flow.known(op.operands[0]) if after >= min(before, _WIDE) else None


def _joined(flow: Flow, op: Any) -> Known | None:
    found = [flow.known(operand) for operand in op.operands]
    return found[0] if len(found) == 1 else None


def _sum(sign: int) -> _Rule:
    def rule(flow: Flow, op: Any) -> Known | None:
        left, right = (flow.known(operand) for operand in op.operands)
        if left is None or right is None:
            return None
        low, high = (right.low, right.high) if sign > 0 else (right.high, right.low)
        return Known(
            left.step + right.step * sign,
            None if left.low is None or low is None else left.low + low * sign,
            None if left.high is None or high is None else left.high + high * sign,
            left.alike and right.alike,
        )

    return rule


def _product(flow: Flow, op: Any) -> Known | None:
    left, right = (flow.known(operand) for operand in op.operands)
    if left is None or right is None:
        return None
    if right.exact is None:
        left, right = right, left
    by = right.exact
    if by is None:
        return None
    if left.exact is not None:
        return Known(0, left.exact * by, left.exact * by)
    if not flow.batch.at_most(0, by) or flow.batch.sizes(by):
        return None
    low, high = (None if bound is None else bound * by for bound in (left.low, left.high))
    return Known(left.step * by, low, high, left.alike)


def _extreme(is_maximum: bool) -> _Rule:
    def rule(flow: Flow, op: Any) -> Known | None:
        known = [flow.known(operand) or _UNKNOWN for operand in op.operands]
        if not all(_is_zero(part.step) for part in known):
            return None
        lows, highs = [part.low for part in known], [part.high for part in known]
        alike = all(flow.is_alike(operand) for operand in op.operands)
        near, far = (lows, highs) if is_maximum else (highs, lows)
        bound = next((bound for bound in near if bound is not None), None)
        first, second = far
        beyond = None
        if _at_most(flow, first, second):
            beyond = second if is_maximum else first
        elif _at_most(flow, second, first):
            beyond = first if is_maximum else second
        return Known(0, bound, beyond, alike) if is_maximum else Known(0, beyond, bound, alike)

    return rule


_UNKNOWN = Known(0, None, None)


def _compare(flow: Flow, op: Any) -> Known | None:
    left, right = (_whole(flow, flow.known(operand)) for operand in op.operands)
    kind = stablehlo.ComparisonDirectionAttr(op.attributes["comparison_direction"]).value
    if kind in ("GT", "LE"):
        left, right = right, left
    if kind not in ("LT", "GT", "GE", "LE"):
        return None
    less: int | None = None
    if left[1] is not None and right[0] is not None and flow.batch.at_most(left[1], right[0] - 1):
        less = 1
    elif _at_most(flow, right[1], left[0]):
        less = 0
    if less is None:
        return None
    holds = less if kind in ("LT", "GT") else 1 - less
    return Known(0, holds, holds)


def _either(number: int) -> _Rule:
    """`or` is 1, and `and` 0, where an operand is."""

    def rule(flow: Flow, op: Any) -> Known | None:
        decided = any(_is(flow.known(operand), number) for operand in op.operands)
        return Known(0, number, number) if decided else None

    return rule


_RULES: dict[str, _Rule] = {
    "add": _sum(1),
    "and": _either(0),
    "broadcast_in_dim": _moved,
    "compare": _compare,
    "concatenate": _joined,
    "constant": _constant,
    "convert": _convert,
    "dynamic_broadcast_in_dim": _moved,
    "dynamic_iota": _iota,
    "dynamic_reshape": _moved,
    "get_dimension_size": _size,
    "iota": _iota,
    "maximum": _extreme(is_maximum=True),
    "minimum": _extreme(is_maximum=False),
    "multiply": _product,
    "or": _either(1),
    "real_dynamic_slice": _moved,
    "reshape": _moved,
    "slice": _moved,
    "subtract": _sum(-1),
    "transpose": _moved,
}
