"""Refuse loops over tensors whose sizes a call says, for an engine that ends some of them too early."""

from __future__ import annotations

from lowering.stablehlo.passes.parsed_dynamic import ParsedDynamic, is_dynamic, refused
from lowering.stablehlo.passes.rewrite import everywhere


def rewrite(parsed: ParsedDynamic) -> None:
    for op in everywhere(parsed.block):
        if op.operation.name == "stablehlo.while" and any(map(is_dynamic, op.operation.operands)):
            raise refused(op.operation, "it carries tensors whose sizes a call says")
