"""Spell slices that are written into tensors whose sizes a call says as selections by place."""

from __future__ import annotations

from functools import reduce
from typing import Any

from lowering.ir.types import DType
from lowering.stablehlo.hlo import ir
from lowering.stablehlo.passes.parsed_dynamic import ParsedDynamic, is_dynamic
from lowering.stablehlo.passes.rewrite import clamped, cx, everywhere, replace, selected
from lowering.stablehlo.size_questions import same_size
from lowering.stablehlo.symbolic import any_symbolic
from lowering.stablehlo.value import Value, broadcast_in_dim


def rewrite(parsed: ParsedDynamic) -> None:
    for op in everywhere(parsed.block):
        is_update = op.operation.name == "stablehlo.dynamic_update_slice"
        if is_update and any(map(is_dynamic, list(op.operation.operands)[:2])):
            with ir.InsertionPoint(op), op.operation.location:
                _rewrite(op)


def _rewrite(op: Any) -> None:
    value, update, *starts = map(Value, op.operation.operands)
    shape = value.shape
    written = [axis for axis in range(value.rank) if not same_size(shape[axis], update.shape[axis])]
    inside: list[Value] = []
    for axis in written:
        size, count = shape[axis], update.shape[axis]
        # As the operation does, the first place is one where all of the update fits.
        start = clamped(cx.convert(starts[axis], DType.INT64), size - count)
        places = cx.iota(DType.INT64, (size,), 0) - cx.broadcast(start, (size,))
        inside.append(broadcast_in_dim((places >= 0) & (places < count), shape, (axis,)))
        if any_symbolic([count]) or count != 1:
            update = selected(update, clamped(places, count - 1), axis)
    # An axis of which one place is written stretches.
    spread = cx.broadcast(update, shape)
    replace(op, cx.select(reduce(lambda a, b: a & b, inside), spread, value) if inside else update)
