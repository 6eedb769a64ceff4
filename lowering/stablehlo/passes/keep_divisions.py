"""Keep divisions of floating-point numbers divisions: a barrier hides what an engine would invert.

An engine may multiply by the reciprocal of a constant or of a broadcast tensor, and draw quotients of
quotients together. Each costs a rounding, by which a quantised integer is one step off.
"""

from __future__ import annotations

from math import frexp, isfinite

from lowering.stablehlo.hlo import ir
from lowering.stablehlo.passes.parsed import ParsedModule
from lowering.stablehlo.passes.rewrite import cx, maker, operations, splat_of
from lowering.stablehlo.value import Value


def rewrite(parsed: ParsedModule) -> None:
    for op in operations(parsed.block):
        if op.operation.name == "stablehlo.divide" and Value(op.operation.results[0]).dtype.is_floating:
            dividend, divisor = op.operation.operands
            with ir.InsertionPoint(op), op.operation.location:
                if maker(dividend, "stablehlo.divide") is not None:
                    op.operation.operands[0] = cx.opaque(Value(dividend)).ir
                if not _is_power_of_two(divisor):
                    op.operation.operands[1] = cx.opaque(Value(divisor)).ir


def _is_power_of_two(value: ir.Value) -> bool:
    """Whether a value is full of one constant whose reciprocal is exact."""
    number = splat_of(value)
    return number is not None and isfinite(number) and abs(frexp(number)[0]) == 0.5
