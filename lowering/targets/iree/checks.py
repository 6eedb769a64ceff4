"""Reductions of booleans over sizes of a call, as the checks of a program are.

IREE 3.13 computes such a reduction together with the comparisons that it reads. Where something else reads
one of these too, the dispatch keeps it whole on the stack, though nothing reads it there: `stack allocation
size overflows 64 bits`. Behind a barrier, the booleans are computed before.
"""

# IREE's bindings come without stubs of their native part.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from iree.compiler import ir

from lowering.targets.iree.converted import Converted, held, is_parallel


def hold_checks(converted: Converted) -> None:
    """Put a barrier before each reduction of booleans whose sizes a call says."""
    bit = ir.IntegerType.get_signless(1)
    for op in converted.operations("linalg.generic", "linalg.reduce"):
        if op.name == "linalg.generic" and is_parallel(op):
            continue
        with ir.InsertionPoint(op), op.location:
            for at, operand in enumerate(op.operands):
                type_ = ir.RankedTensorType(operand.type)
                if type_.element_type == bit and not type_.has_static_shape:
                    op.operands[at] = held(operand)
