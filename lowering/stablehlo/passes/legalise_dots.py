"""Put zeros in the place of products of matrices that have no terms."""

from __future__ import annotations

from lowering.stablehlo.hlo import ir
from lowering.stablehlo.passes.parsed import ParsedModule
from lowering.stablehlo.passes.rewrite import cx, everywhere, replace
from lowering.stablehlo.value import Value


def rewrite(parsed: ParsedModule) -> None:
    for op in everywhere(parsed.block):
        if op.operation.name != "stablehlo.dot_general":
            continue
        if not all(Value(operand).size for operand in op.operation.operands):
            result = Value(op.operation.results[0])
            with ir.InsertionPoint(op), op.operation.location:
                replace(op, cx.constant(0, result.dtype, result.shape))
