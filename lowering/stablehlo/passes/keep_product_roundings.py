"""Round products that stand behind barriers before the sums that read them.

A compiler may drop barriers before it draws a product and a sum together, which rounds once. It does not look
through a selection: zeros, which it picks out of the product, keep their sign.
"""

from __future__ import annotations

from lowering.ir.types import DType
from lowering.stablehlo.hlo import ir
from lowering.stablehlo.passes.parsed import ParsedModule
from lowering.stablehlo.passes.rewrite import cx, everywhere, maker
from lowering.stablehlo.value import Value

_SUMS = ("stablehlo.add", "stablehlo.subtract")
#: The types whose products are rounded, and the integers of their width.
ROUNDED_BITS = {DType.FLOAT16: DType.INT16, DType.BFLOAT16: DType.INT16, DType.FLOAT32: DType.INT32,
                DType.FLOAT64: DType.INT64}  # fmt: skip


def rewrite(parsed: ParsedModule) -> None:
    for op in everywhere(parsed.block):
        if op.operation.name != "stablehlo.optimization_barrier":
            continue
        for operand, result in zip(op.operation.operands, op.operation.results, strict=True):
            product = maker(operand, "stablehlo.multiply")
            sums = [use.owner for use in result.uses if use.owner.name in _SUMS]
            if product is None or not sums or Value(operand).dtype not in ROUNDED_BITS:
                continue
            with ir.InsertionPoint.after(op.operation), op.operation.location:
                rounded = rounded_product(Value(result))
            for user in sums:
                for at, read in enumerate(user.operands):
                    if read == result:
                        user.operands[at] = rounded.ir


def rounded_product(product: Value) -> Value:
    """The same elements, behind a selection."""
    bits = ROUNDED_BITS[product.dtype]
    sign = cx.bitcast(product, bits) & -(1 << 8 * bits.itemsize - 1)
    return cx.select(product == 0, cx.bitcast(sign, product.dtype), product)
