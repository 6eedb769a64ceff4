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
    if not all(map(_never_crops, (*low, *high))):
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


def _never_crops(amount: int) -> bool:
    """Whether an amount is 0 or more at all sizes: what fills up to a multiple is."""
    symbolic = first_symbolic([amount])
    if symbolic is None or surely_less(-1, amount):
        return surely_less(-1, amount)
    least: Polynomial = {}
    for monomial, count in polynomial(symbolic.term).items():
        (factor,) = monomial if len(monomial) == 1 else (None,)
        if isinstance(factor, Apply) and factor.op == "FloorDiv" and count < 0:
            value, by = factor.args
            if isinstance(by, int) and by > 0 and isinstance(count, int) and count % by == 0:
                # A quotient that is rounded down is at most the exact one.
                least = added(least, scaled(polynomial(value), count // by))
                continue
        least = added(least, {monomial: count})
    return surely_less(-1, symbolic.assumptions.size(term_of(least)))
