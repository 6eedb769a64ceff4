"""Spell sums of booleans as disjunctions, which they are by definition."""

from __future__ import annotations

from lowering.stablehlo.hlo import ir, stablehlo
from lowering.stablehlo.passes.parsed import ParsedModule
from lowering.stablehlo.passes.rewrite import everywhere, replace
from lowering.stablehlo.value import Value


def rewrite(parsed: ParsedModule) -> None:
    boolean = ir.IntegerType.get_signless(1)
    for op in everywhere(parsed.block):
        if op.operation.name != "stablehlo.add":
            continue
        if ir.RankedTensorType(op.operation.results[0].type).element_type == boolean:
            with ir.InsertionPoint(op), op.operation.location:
                replace(op, Value(stablehlo.or_(*op.operation.operands)))
