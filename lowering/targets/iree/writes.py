"""Which operands an operation of a converted module may overwrite, and which results share their memory."""

# IREE's bindings come without stubs of their native part.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Sequence

from iree.compiler import ir

#: Operations whose result is the first operand under another type.
VIEWS = frozenset(f"tensor.{name}" for name in "collapse_shape expand_shape cast reshape bitcast".split())

_INSERTIONS = frozenset(("tensor.insert", "tensor.insert_slice"))


def written(op: ir.Operation) -> Sequence[int]:
    """The places of the operands that an operation is given to write to, or that a loop starts from."""
    name, count = op.name, len(op.operands)
    if name in _INSERTIONS:
        return (1,)
    if name == "scf.while":
        return range(count)
    if name == "scf.for":
        # After its bounds and its step.
        return range(3, count)
    if name.startswith(("linalg.", "iree_linalg_ext.")) and count:
        # Outputs come last, one for each result.
        return range(count - len(op.results), count)
    return ()
