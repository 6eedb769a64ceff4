"""Elementwise operators, and commutative operators."""

from __future__ import annotations

from lowering.ir.aten import schema

# Element by element, though torch does not tag them so.
_ALSO = frozenset({"aten.to.dtype", "aten.clone.default", "aten._to_copy.default"})

# Their operands `self` and `other` commute where a factor `alpha` is 1. The results are equal to the bit, but
# for the choice between two NaNs. Not minimum and maximum: of two zeros they return one by its place.
_COMMUTATIVE = frozenset(
    {
        *("aten.add.Tensor", "aten.mul.Tensor", "aten.eq.Tensor", "aten.ne.Tensor"),
        *("aten.bitwise_and.Tensor", "aten.bitwise_or.Tensor", "aten.bitwise_xor.Tensor"),
        *("aten.logical_and.default", "aten.logical_or.default", "aten.logical_xor.default"),
    }
)


def is_pointwise(target: str) -> bool:
    """Whether torch says that each element of a result is made of the operands' elements in its place."""
    found = schema(target)
    return found is not None and "pointwise" in found.tags


def is_elementwise(target: str) -> bool:
    """Whether an operator is pointwise, or a cast or copy."""
    return is_pointwise(target) or target in _ALSO


def is_commutative(target: str) -> bool:
    """Whether the operands of an operator may change places."""
    return target in _COMMUTATIVE
