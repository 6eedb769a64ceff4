"""Tell elements that a stable sort takes for equal apart by their places, so that any sort is stable."""

from __future__ import annotations

from typing import Any

from lowering.ir.types import DType
from lowering.stablehlo.clone import cloned_block
from lowering.stablehlo.hlo import ir
from lowering.stablehlo.passes.parsed import ParsedModule
from lowering.stablehlo.passes.rewrite import cx, everywhere, maker
from lowering.stablehlo.size_questions import surely_less
from lowering.stablehlo.value import Value


def rewrite(parsed: ParsedModule) -> None:
    for op in everywhere(parsed.block):
        if op.operation.name == "stablehlo.sort" and op.is_stable is not None and op.is_stable.value:
            with ir.InsertionPoint(op), op.operation.location:
                _rewrite(op)


def _rewrite(op: Any) -> None:
    values = [Value(operand) for operand in op.operation.operands]
    axis = op.dimension.value if op.dimension is not None else values[0].rank - 1
    at = next((at for at, value in enumerate(values) if _counts(value, axis)), len(values))
    if at == len(values):
        size = values[0].shape[axis]
        values.append(
            cx.iota(DType.INT32 if surely_less(size, 1 << 31) else DType.INT64, values[0].shape, axis)
        )
    comparator = op.comparator.blocks[0]

    def in_order(*pairs: Value) -> Value:
        forward = list(pairs[: len(comparator.arguments)])
        backward = [pair for a, b in zip(forward[::2], forward[1::2], strict=True) for pair in (b, a)]
        (before,), (after,) = (cloned_block(comparator, [v.ir for v in way]) for way in (forward, backward))
        return Value(before) | (~Value(after) & (pairs[2 * at] < pairs[2 * at + 1]))

    made = cx.sort(values, axis, in_order, stable=False)
    for old, new in zip(op.operation.results, made, strict=False):
        old.replace_all_uses_with(new.ir)
    op.operation.erase()


def _counts(value: Value, axis: int) -> bool:
    """Whether a value counts the places along an axis."""
    made = maker(value.ir, "stablehlo.iota")
    return made is not None and made.iota_dimension.value == axis
