"""Spell pads by amounts that a call says as joins with tensors full of the fill, and crops as slices."""

from __future__ import annotations

from typing import Any

from lowering.ir.polynomials import Polynomial, added, polynomial, scaled, term_of
from lowering.ir.symbols import Apply
from lowering.stablehlo.hlo import ir
from lowering.stablehlo.passes.parsed_dynamic import ParsedDynamic, is_dynamic, refused
from lowering.stablehlo.passes.rewrite import cx, everywhere, replace
from lowering.stablehlo.size_questions import surely_less
from lowering.stablehlo.symbolic import any_symbolic, first_symbolic
from lowering.stablehlo.value import Value, broadcast


def rewrite(parsed: ParsedDynamic) -> None:
    for op in everywhere(parsed.block):
        if op.operation.name == "stablehlo.dynamic_pad":
            amounts = [parsed.sizes.numbers(op.operation.operands[at]) for at in (2, 3, 4)]
            with ir.InsertionPoint(op), op.operation.location:
                _rewrite(op, *amounts)
        elif op.operation.name == "stablehlo.pad" and is_dynamic(op.operation.operands[0]):
            with ir.InsertionPoint(op), op.operation.location:
                _crop(op)


def _crop(op: Any) -> None:
    """Let a slice crop before a pad whose amounts may be negative: not every engine takes these."""
    value, fill = Value(op.operand), Value(op.padding_value)
    low, high = list(op.edge_padding_low), list(op.edge_padding_high)
    if min(*low, *high) >= 0:
        return
    start = [max(-amount, 0) for amount in low]
    limit = [size + min(amount, 0) for size, amount in zip(value.shape, high, strict=True)]
    if any(op.interior_padding) or not all(map(surely_less, start, [n + 1 for n in limit])):
        raise refused(op.operation, f"amounts of {low} and {high} may crop what they pad")
    cut = cx.slice(value, start, limit)
    replace(op, cx.pad(cut, [max(n, 0) for n in low], [max(n, 0) for n in high], fill))


def _rewrite(op: Any, low: list[int], high: list[int], gaps: list[int]) -> None:
    value, fill = (Value(operand) for operand in list(op.operation.operands)[:2])
    if any_symbolic(gaps) or any(gaps):
        raise refused(op.operation, f"gaps of {gaps}")
    if not all(map(never_crops, (*low, *high))):
        raise refused(op.operation, f"amounts of {low} and {high} may crop")
    for axis in range(value.rank):
        parts: list[Value] = []
        for amount in (low[axis], None, high[axis]):
            if amount is None:
                parts.append(value)
            elif any_symbolic([amount]) or amount:
                sizes = [amount if a == axis else size for a, size in enumerate(value.shape)]
                parts.append(broadcast(fill, tuple(sizes)))
        value = cx.concatenate(parts, axis)
    replace(op, value)


def never_crops(amount: int) -> bool:
    """Whether an amount is 0 or more at all sizes: what fills up to a multiple is."""
    symbolic = first_symbolic([amount])
    if symbolic is None or surely_less(-1, amount):
        return surely_less(-1, amount)
    value, least = polynomial(symbolic.term), Polynomial()
    for monomial, count in value.items():
        factor = monomial[0] if len(monomial) == 1 else None
        bound = _bound(factor, count, value) if isinstance(factor, Apply) and count < 0 else None
        least = added(least, {monomial: count} if bound is None else bound)
    return surely_less(-1, symbolic.assumptions.size(term_of(least)))


def _bound(division: Apply, count: int | float, among: Polynomial) -> Polynomial | None:
    """A lower bound of `count` times a quotient that is rounded down, for a negative count.

    The quotient `x // 4` is at most `x / 4`, and half of `x // 2` where that is among the terms.
    """
    if division.op != "FloorDiv" or not isinstance(count, int):
        return None
    value, by = division.args
    if not isinstance(by, int) or by <= 0:
        return None
    for other in (monomial[0] for monomial in among if len(monomial) == 1 and monomial != (division,)):
        if not isinstance(other, Apply) or other.op != "FloorDiv" or other.args[0] != value:
            continue
        inner = other.args[1]
        if isinstance(inner, int) and inner > 0 and by % inner == 0 and count % (by // inner) == 0:
            return {(other,): count // (by // inner)}
    return scaled(polynomial(value), count // by) if count % by == 0 else None
