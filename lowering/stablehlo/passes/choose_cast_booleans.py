"""Spell casts of booleans as choices between 1 and 0, for engines that draw the casts into products.

A product with a cast boolean becomes a choice between the other factor and 0 there. It lacks the NaN that 0
makes of infinities and NaN, and the sign that 0 has beside a negative number. The choice looks alike, but no
engine draws it into a product.
"""

from __future__ import annotations

from lowering.ir.types import DType
from lowering.stablehlo.hlo import ir
from lowering.stablehlo.passes.parsed import ParsedModule
from lowering.stablehlo.passes.rewrite import cx, everywhere, replace
from lowering.stablehlo.value import Value


def rewrite(parsed: ParsedModule) -> None:
    for op in everywhere(parsed.block):
        if op.operation.name != "stablehlo.convert":
            continue
        given, made = Value(op.operation.operands[0]), Value(op.operation.results[0])
        # Integers count too: engines draw two casts together.
        if given.dtype is DType.BOOL and made.dtype is not DType.BOOL:
            with ir.InsertionPoint(op), op.operation.location:
                one, zero = (cx.constant(number, made.dtype, given.shape) for number in (1, 0))
                replace(op, cx.select(given, one, zero))
