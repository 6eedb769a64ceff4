"""Cloned operations: pointing them at the values of where they go."""

from __future__ import annotations

from collections.abc import Mapping

from lowering.stablehlo.hlo import ir


def rewire(op: ir.Operation, values: Mapping[ir.Value, ir.Value]) -> None:
    """Point an operation's operands, and those inside its regions, at other values."""
    for index, operand in enumerate(op.operands):
        if operand in values:
            op.operands[index] = values[operand]
    for region in op.regions:
        for block in region.blocks:
            for inner in block.operations:
                rewire(inner.operation, values)
