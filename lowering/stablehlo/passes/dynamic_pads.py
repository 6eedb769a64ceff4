"""Spell pads by amounts that a call says as joins with tensors that are full of the fill."""

from __future__ import annotations

from typing import Any

from lowering.stablehlo.hlo import ir
from lowering.stablehlo.passes.parsed_dynamic import ParsedDynamic, refused
from lowering.stablehlo.passes.rewrite import cx, everywhere, replace
from lowering.stablehlo.size_questions import surely_less
from lowering.stablehlo.symbolic import any_symbolic
from lowering.stablehlo.value import Value, broadcast


def rewrite(parsed: ParsedDynamic) -> None:
    for op in everywhere(parsed.block):
        if op.operation.name == "stablehlo.dynamic_pad":
            amounts = [parsed.sizes.numbers(op.operation.operands[at]) for at in (2, 3, 4)]
            with ir.InsertionPoint(op), op.operation.location:
                _rewrite(op, *amounts)


def _rewrite(op: Any, low: list[int], high: list[int], gaps: list[int]) -> None:
    value, fill = (Value(operand) for operand in list(op.operation.operands)[:2])
    if any_symbolic(gaps) or any(gaps):
        raise refused(op.operation, f"gaps of {gaps}")
    if not all(surely_less(-1, amount) for amount in (*low, *high)):
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
