"""Bounds of an integer expression, from the ranges of its symbols."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import inf, isinf, prod

from lowering.ir.polynomials import Polynomial, added, polynomial, quotient, term_of
from lowering.ir.program import Range
from lowering.ir.symbols import Apply, Symbol, Term

# Inclusive; infinite where nothing is known.
Bounds = tuple[float, float]
_UNKNOWN: Bounds = (-inf, inf)
# How many common factors are taken out, one after another.
_DEPTH = 3


def bounds(term: Term, ranges: Mapping[str, Range]) -> Bounds:
    """The least and the greatest value that a term can have; wider than that where its symbols recur."""
    return _of(polynomial(term), ranges, _DEPTH) if isinstance(term, Apply) else _bounds(term, ranges)


def _of(value: Polynomial, ranges: Mapping[str, Range], depth: int) -> Bounds:
    """`bounds` of a polynomial: `s * t - t` is `t * (s - 1)`, of which more can be told."""
    low, high = _bounds(term_of(value), ranges)
    uses = Counter(factor for monomial in value for factor in set(monomial))
    for factor in (factor for factor, count in uses.items() if count > 1 and depth):
        inside = {monomial: number for monomial, number in value.items() if factor in monomial}
        inner = quotient(inside, {(factor,): 1}) or {}
        product = _product([_bounds(factor, ranges), _of(inner, ranges, depth - 1)])
        rest = _bounds(term_of(added(value, inside, -1)), ranges)
        least, most = (a + b for a, b in zip(product, rest, strict=True))
        low, high = max(low, least), min(high, most)
    for factor in uses if depth else ():
        if low > -inf and high < inf:
            break
        least, most = _at_ends(value, factor, ranges, depth)
        low, high = max(low, least), min(high, most)
    return low, high


def _at_ends(value: Polynomial, factor: Term, ranges: Mapping[str, Range], depth: int) -> Bounds:
    """`bounds` where a factor is linear: `s * t - s - t` grows with `s` where `t` is above 1.

    Then it is least, or greatest, where the factor is.
    """
    inside = {monomial: number for monomial, number in value.items() if factor in monomial}
    slope = quotient(inside, {(factor,): 1}) or {}
    if any(factor in monomial for monomial in slope):
        return _UNKNOWN
    rest = added(value, inside, -1)
    falls, rises = _of(slope, ranges, depth - 1)
    ends = _bounds(factor, ranges)
    if rises <= 0:
        ends = ends[::-1]
    elif falls < 0:
        return _UNKNOWN
    first, last = (
        _UNKNOWN if isinf(end) else _of(added(rest, slope, int(end)), ranges, depth - 1) for end in ends
    )
    return first[0], last[1]


def _bounds(term: Term, ranges: Mapping[str, Range]) -> Bounds:
    if isinstance(term, Symbol):
        known = ranges.get(term.name)
        if known is None:
            return _UNKNOWN
        return (-inf if known.low is None else known.low, inf if known.high is None else known.high)
    if not isinstance(term, Apply):
        return term, term
    parts = [_bounds(arg, ranges) for arg in term.args]
    if term.op == "Add":
        return sum(low for low, _ in parts), sum(high for _, high in parts)
    if term.op == "Mul":
        return _product(parts)
    if term.op == "Max":
        return max(low for low, _ in parts), max(high for _, high in parts)
    if term.op == "Min":
        return min(low for low, _ in parts), min(high for _, high in parts)
    if term.op == "FloorDiv" and parts[1][0] > 0:
        return _quotient(*parts)
    return _UNKNOWN


def _product(parts: list[Bounds]) -> Bounds:
    low, high = parts[0]
    for part in parts[1:]:
        # Zero times anything is zero, infinity included.
        ends = [0 if 0 in (a, b) else prod((a, b)) for a in (low, high) for b in part]
        low, high = min(ends), max(ends)
    return low, high


def _quotient(value: Bounds, divisor: Bounds) -> Bounds:
    """Of a positive divisor."""
    ends = [_floor(end, by) for end in value for by in divisor]
    return min(ends), max(ends)


def _floor(value: float, by: float) -> float:
    if abs(value) == inf:
        return value
    if by == inf:
        return 0 if value >= 0 else -1
    return value // by
