"""Let one broadcast stand for two in a row, of tensors whose sizes a call says."""

from __future__ import annotations

from typing import Any

from lowering.stablehlo.hlo import ir, stablehlo
from lowering.stablehlo.passes.parsed_dynamic import ParsedDynamic
from lowering.stablehlo.passes.rewrite import everywhere, maker, replace
from lowering.stablehlo.value import Value

_NAME = "stablehlo.dynamic_broadcast_in_dim"


def rewrite(parsed: ParsedDynamic) -> None:
    for op in everywhere(parsed.block):
        if op.operation.name != _NAME:
            continue
        inner = maker(op.operation.operands[0], _NAME)
        if inner is not None:
            with ir.InsertionPoint(op), op.operation.location:
                _merge(op, inner)


def _merge(outer: Any, inner: Any) -> None:
    first, second = list(inner.broadcast_dimensions), list(outer.broadcast_dimensions)
    stretched = [
        axis
        for axis, middle in enumerate(first)
        if axis in _axes(inner.known_expanding_dimensions)
        or middle in _axes(outer.known_expanding_dimensions)
    ]
    kept = [
        axis
        for axis, middle in enumerate(first)
        if axis in _axes(inner.known_nonexpanding_dimensions)
        and middle in _axes(outer.known_nonexpanding_dimensions)
    ]
    result = outer.operation.results[0]
    made = stablehlo.dynamic_broadcast_in_dim(
        result.type,
        inner.operation.operands[0],
        outer.operation.operands[1],
        [second[middle] for middle in first],
        known_expanding_dimensions=stretched,
        known_nonexpanding_dimensions=kept,
    )
    replace(outer, Value(made, Value(result).shape))


def _axes(attribute: Any) -> list[int]:
    return [] if attribute is None else list(attribute)
