"""Spread scalar predicates of selections between tensors over the shape of what they select."""

from __future__ import annotations

from lowering.stablehlo.hlo import ir
from lowering.stablehlo.passes.parsed import ParsedModule
from lowering.stablehlo.passes.rewrite import everywhere
from lowering.stablehlo.value import Value, broadcast


def rewrite(parsed: ParsedModule) -> None:
    for op in everywhere(parsed.block):
        if op.operation.name == "stablehlo.select":
            predicate, shape = Value(op.operation.operands[0]), Value(op.operation.results[0]).shape
            with ir.InsertionPoint(op), op.operation.location:
                op.operation.operands[0] = broadcast(predicate, shape).ir
