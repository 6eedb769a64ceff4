"""Pad complex tensors part by part, and leave out gaps between fewer than two elements."""

from __future__ import annotations

from typing import Any

from lowering.stablehlo.hlo import ir
from lowering.stablehlo.passes.parsed import ParsedModule
from lowering.stablehlo.passes.rewrite import cx, everywhere, replace
from lowering.stablehlo.value import Value


def rewrite(parsed: ParsedModule) -> None:
    for op in everywhere(parsed.block):
        if op.operation.name == "stablehlo.pad":
            with ir.InsertionPoint(op), op.operation.location:
                _rewrite(op)


def _rewrite(op: Any) -> None:
    value, fill = Value(op.operand), Value(op.padding_value)
    low, high, given = list(op.edge_padding_low), list(op.edge_padding_high), list(op.interior_padding)
    gaps = [gap if gap and size > 1 else 0 for gap, size in zip(given, value.shape, strict=True)]
    if value.dtype.is_complex:
        real, imag = (cx.pad(part(value), low, high, part(fill), gaps) for part in (cx.real, cx.imag))
        replace(op, cx.complex(real, imag))
    elif gaps != given:
        replace(op, cx.pad(value, low, high, fill, gaps))
