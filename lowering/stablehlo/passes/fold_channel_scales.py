"""Fold scales of channels, as batch norms have them, into the kernels of convolutions.

`conv(x, k) * s` and `(conv(x, k) + b) * s` become `conv(x, k * s)` and `conv(x, k * s) + b * s`, where s and
b are per channel and of weights alone. The multiplication is done once, at load.
"""

from __future__ import annotations

from typing import Any

from lowering.stablehlo.hlo import ir
from lowering.stablehlo.passes.convolution import Convolution, read_convolution
from lowering.stablehlo.passes.parsed import ParsedModule
from lowering.stablehlo.passes.rewrite import channel_vector, is_used_once, maker, replace, rests_on
from lowering.stablehlo.value import Value, broadcast_in_dim


def rewrite(parsed: ParsedModule) -> None:
    weights = parsed.weights
    for op in list(parsed.block.operations):
        if op.operation.name != "stablehlo.multiply":
            continue
        with ir.InsertionPoint(op), op.location:
            folded = _folded(op, weights)
            if folded is not None:
                replace(op, folded)


def _folded(op: Any, weights: set[ir.Value]) -> Value | None:
    for one, other in ((op.lhs, op.rhs), (op.rhs, op.lhs)):
        inner, offset = one, None
        added = maker(one, "stablehlo.add")
        if added is not None and is_used_once(one):
            inner, offset = added.lhs, added.rhs
        made = maker(inner, "stablehlo.convolution")
        found = read_convolution(made) if made is not None and is_used_once(inner) else None
        if found is None or not rests_on(found.kernel.ir, weights):
            continue
        if not rests_on(other, weights) or (offset is not None and not rests_on(offset, weights)):
            continue
        scale = channel_vector(other, 1)
        shift = channel_vector(offset, 1) if offset is not None else None
        if scale is None or scale.dtype is not found.kernel.dtype or (offset is not None and shift is None):
            continue
        return _scaled(made, found, scale, shift)
    return None


def _scaled(made: Any, found: Convolution, scale: Value, shift: Value | None) -> Value:
    kernel = found.kernel * broadcast_in_dim(scale, found.kernel.shape, (0,))
    copy = made.operation.clone()
    copy.operands[1] = kernel.ir
    result = Value(copy.results[0])
    if shift is None:
        return result
    return result + broadcast_in_dim(shift * scale, result.shape, (1,))
