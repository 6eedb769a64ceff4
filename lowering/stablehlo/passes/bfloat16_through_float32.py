"""Compute matmuls and convolutions of bfloat16 from operands of float32, for processors without bfloat16.

A bfloat16 is the upper half of a float32. So each product is exact and sums are of float32, as before. The
conversion is spelled on the bits: a compiler may fuse an ordinary conversion back into the matmul. A weight
is widened once, at load. A matmul of one row stays as it is: its cost is the memory of the weight.
"""

from __future__ import annotations

from typing import Any

from lowering.ir.types import DType
from lowering.stablehlo.hlo import ir, stablehlo
from lowering.stablehlo.passes.parsed import ParsedModule
from lowering.stablehlo.passes.rewrite import cx, maker, rests_on
from lowering.stablehlo.value import Value

_TAKES = ("stablehlo.dot_general", "stablehlo.convolution")
_BITS = 16


def rewrite(parsed: ParsedModule) -> None:
    _widen(parsed.block, parsed.weights)


def _widen(block: ir.Block, weights: set[ir.Value]) -> None:
    for op in list(block.operations):
        for region in op.operation.regions:
            for inner in region.blocks:
                _widen(inner, weights)
        if _sums_float32(op) and not _is_row(op, weights):
            for at in (0, 1):
                operand = _narrow(op.operation.operands[at])
                if operand is not None:
                    with ir.InsertionPoint(op), op.location:
                        op.operation.operands[at] = _wide(operand).ir


def _sums_float32(op: Any) -> bool:
    return op.operation.name in _TAKES and Value(op.result).dtype is DType.FLOAT32


def _narrow(operand: ir.Value) -> Value | None:
    """The value of bfloat16 that an operand is, or is converted from to float32."""
    found = Value(operand)
    made = maker(operand, "stablehlo.convert")
    if found.dtype is DType.FLOAT32 and made is not None:
        found = Value(made.operand)
    return found if found.dtype is DType.BFLOAT16 else None


def _wide(value: Value) -> Value:
    """A value of bfloat16 as float32."""
    bits = cx.convert(cx.bitcast(value, DType.UINT16), DType.UINT32)
    return cx.bitcast(cx.shift_left(bits, cx.constant(_BITS, DType.UINT32, value.shape)), DType.FLOAT32)


def _is_row(op: Any, weights: set[ir.Value]) -> bool:
    """Whether this is the product of one row with a weight, both of bfloat16."""
    if op.operation.name != "stablehlo.dot_general":
        return False
    numbers = stablehlo.DotDimensionNumbers(op.dot_dimension_numbers)
    row, weight = Value(op.lhs), Value(op.rhs)
    if row.dtype is not DType.BFLOAT16 or weight.dtype is not DType.BFLOAT16:
        return False
    summed = list(numbers.lhs_contracting_dimensions)
    plain = weight.rank == 2 and not list(numbers.lhs_batching_dimensions)
    return plain and summed == [row.rank - 1] and row.size == row.shape[-1] and rests_on(op.rhs, weights)
