"""Round each product of float16 by itself, before what reads it.

Where a processor computes in float16 (AVX512-FP16), a compiler may shorten rounded float32 arithmetic, and
fuse a product and the sum after it. The product's rounding, which eager makes, is lost. Bits that are cut off
are out of its sight. `stablehlo.reduce_precision` does so, but has no subnormals.
"""

from __future__ import annotations

from typing import Any

from lowering.ir.types import DType
from lowering.stablehlo.hlo import ir, stablehlo
from lowering.stablehlo.passes.parsed import ParsedModule
from lowering.stablehlo.passes.rewrite import cx, operations, replace
from lowering.stablehlo.value import Value

_EXPONENT_BITS, _MANTISSA_BITS = 5, 10
_SMALLEST_NORMAL = 2.0**-14


def rewrite(parsed: ParsedModule) -> None:
    for op in operations(parsed.block):
        if op.operation.name == "stablehlo.multiply":
            _round(op)


def _round(op: Any) -> None:
    result = Value(op.result)
    if result.dtype is DType.FLOAT16:
        with ir.InsertionPoint(op), op.location:
            wide = [cx.convert(Value(operand), DType.FLOAT32) for operand in op.operation.operands]
            replace(op, _narrowed(wide[0] * wide[1]))
    elif result.dtype is DType.FLOAT32:
        for use in list(op.result.uses):
            user = use.owner
            if user.name == "stablehlo.convert" and Value(user.results[0]).dtype is DType.FLOAT16:
                with ir.InsertionPoint(user), user.location:
                    replace(user.opview, _narrowed(result))


def _narrowed(wide: Value) -> Value:
    """A float32 product as float16."""
    is_normal = cx.compare(cx.abs(wide), _SMALLEST_NORMAL, "GE")
    cut = Value(stablehlo.reduce_precision(wide.ir, _EXPONENT_BITS, _MANTISSA_BITS))
    kept = Value(stablehlo.select(is_normal.ir, cut.ir, wide.ir))
    return cx.convert(kept, DType.FLOAT16)
