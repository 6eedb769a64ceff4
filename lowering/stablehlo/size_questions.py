"""Questions about sizes, some of which may be known only at the call: none of them specialises."""

from __future__ import annotations

from collections.abc import Sequence
from math import isinf

from lowering.ir.symbols import Apply
from lowering.ir.term_bounds import bounds
from lowering.stablehlo.symbolic import SymbolicSize, term

#: No tensor has more elements: an address has 47 bits.
MOST_ELEMENTS = 1 << 47


def same(left: Sequence[int], right: Sequence[int]) -> bool:
    """Whether two shapes are the same at all sizes; a question that makes no guard."""
    return len(left) == len(right) and all(map(same_size, left, right))


def same_size(left: int, right: int) -> bool:
    """Whether two sizes are the same at all sizes; a question that makes no guard."""
    for size in (left, right):
        if type(size) is SymbolicSize:
            return size.assumptions.provably_equal(term(left), term(right))
    return left == right


def surely_less(left: int, right: int) -> bool:
    """Whether one size is less than another at all sizes; a question that makes no guard."""
    for size in (left, right):
        if type(size) is SymbolicSize:
            return size.assumptions.provably_less(term(left), term(right))
    return left < right


def at_least(size: int, least: int) -> int:
    """The larger of the two, without a question: `max` would ask."""
    return _chosen("Max", size, least)


def at_most(size: int, most: int) -> int:
    """The smaller of the two, without a question: `min` would ask."""
    return _chosen("Min", size, most)


def _chosen(op: str, left: int, right: int) -> int:
    found = left if type(left) is SymbolicSize else right
    if type(found) is not SymbolicSize:
        return max(left, right) if op == "Max" else min(left, right)
    low, high = (left, right) if op == "Min" else (right, left)
    if surely_less(low, high + 1):
        return left
    if surely_less(high, low + 1):
        return right
    return found.assumptions.size(Apply(op, (term(left), term(right))))


def most(size: int) -> int:
    """The greatest number that a size can be."""
    if type(size) is not SymbolicSize:
        return size
    high = bounds(size.term, size.assumptions.ranges)[1]
    return MOST_ELEMENTS if isinf(high) else int(high)


def are_equal(left: Sequence[int], right: Sequence[int]) -> bool:
    """Whether two shapes are equal, of which eager refuses others than the example's answer.

    Where they are equal in the example, the module is for the sizes at which they are.
    """
    return len(left) == len(right) and all(map(_is_equal, left, right))


def _is_equal(left: int, right: int) -> bool:
    for size in (left, right):
        if type(size) is SymbolicSize:
            return size.assumptions.require("Equality", term(left), term(right))
    return left == right


def fits(size: int, into: int) -> bool:
    """Whether one size is at most another, which eager asks for too."""
    for either in (size, into):
        if type(either) is SymbolicSize:
            return either.assumptions.require("GreaterThan", term(into), term(size))
    return size <= into


def differs(size: int, from_: int) -> bool:
    """Whether one size is another than the other, which the program's own trace asked too."""
    for either in (size, from_):
        if type(either) is SymbolicSize and either.assumptions.require("Unequality", term(size), term(from_)):
            return True
    return size != from_
