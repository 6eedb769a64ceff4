"""Tensors whose elements a loop nest looks up one by one, and whose sizes a call says.

IREE 3.13 computes such a tensor in the dispatch that looks its elements up, where something else reads one of
its operands too. The dispatch then keeps it whole on the stack: `stack allocation size overflows 64 bits`.
Behind a barrier, it is computed before.
"""

# IREE's bindings come without stubs of their native part.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from iree.compiler import ir

from lowering.targets.iree.converted import Converted, held, operations


def hold_lookups(converted: Converted) -> None:
    """Put a barrier before each loop nest that looks up elements of a tensor whose sizes a call says."""
    for nest in converted.operations("linalg.generic"):
        with ir.InsertionPoint(nest), nest.location:
            behind: dict[ir.Value, ir.Value] = {}
            for lookup in (op for op in operations(nest) if op.name == "tensor.extract"):
                tensor = lookup.operands[0]
                if not _is_computed(tensor):
                    continue
                if tensor not in behind:
                    behind[tensor] = held(tensor)
                lookup.operands[0] = behind[tensor]


def _is_computed(tensor: ir.Value) -> bool:
    """Whether a loop nest makes the tensor of other tensors, at sizes of a call; a fill reads none."""
    if isinstance(tensor.owner, ir.Block) or ir.RankedTensorType(tensor.type).has_static_shape:
        return False
    maker = tensor.owner.operation
    return maker.name == "linalg.generic" and any(
        isinstance(operand.type, ir.RankedTensorType) and ir.RankedTensorType(operand.type).rank
        for operand in list(maker.operands)[:-1]
    )
