"""Operators that convert a Python number to an element type, which must hold it."""

from __future__ import annotations

from lowering.ir.facts.namespaces import base_name, is_aten

# Such arguments, whatever the operator. The operands of arithmetic and comparisons wrap around instead.
_CONVERTED = frozenset({"value", "fill_value", "alpha", "beta", "min", "max", "min_val", "max_val", "s"})


def converts(target: str, argument: str) -> bool:
    """Whether an operator converts a number to the element type of its result, and refuses one too large."""
    return is_aten(target) and (argument in _CONVERTED or base_name(target) == "where")
