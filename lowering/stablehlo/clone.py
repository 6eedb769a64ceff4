"""Cloned operations: pointing them at the values of where they go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lowering.stablehlo.hlo import ir


def cloned_block(block: ir.Block, arguments: Sequence[ir.Value]) -> list[ir.Value]:
    """Clone a block's operations at the insertion point, for these arguments; what it returns."""
    values: dict[ir.Value, ir.Value] = dict(zip(block.arguments, arguments, strict=True))
    *body, end = block.operations
    for op in body:
        clone = op.operation.clone()
        rewire(clone, values)
        values.update(zip(op.results, clone.results, strict=True))
    return [values.get(operand, operand) for operand in end.operands]


def rewire(op: ir.Operation, values: Mapping[ir.Value, ir.Value]) -> None:
    """Point an operation's operands, and those inside its regions, at other values."""
    for index, operand in enumerate(op.operands):
        if operand in values:
            op.operands[index] = values[operand]
    for region in op.regions:
        for block in region.blocks:
            for inner in block.operations:
                rewire(inner.operation, values)
