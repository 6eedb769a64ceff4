"""Bounds of expressions hold every value that they can have."""

from __future__ import annotations

from itertools import product
from math import inf

import pytest

from lowering.ir.program import Range
from lowering.ir.symbols import Apply, Symbol, Term, evaluate, to_text
from lowering.ir.term_bounds import bounds
from tests.lowering.ir.test_polynomials import TERMS, S, T

RANGES = {"s": Range(2, 9), "t": Range(1, 5), "v": Range(0, None), "w": Range(1, None), "x": Range(1, None)}
V, W, X = Symbol("v"), Symbol("w"), Symbol("x")


def _times(*factors: Term) -> Term:
    return Apply("Mul", factors)


@pytest.mark.parametrize("term", TERMS, ids=to_text)
def test_every_value_lies_within(term: Term) -> None:
    low, high = bounds(term, RANGES)
    for s, t in product(range(2, 10), range(1, 6)):
        assert low <= evaluate(term, {"s": s, "t": t}) <= high


@pytest.mark.parametrize(
    ("term", "wanted"),
    [
        (S, (2, 9)),
        (Apply("Add", (S, -2)), (0, 7)),
        (Apply("Mul", (-3, S)), (-27, -6)),
        (Apply("FloorDiv", (S, 4)), (0, 2)),
        (Apply("FloorDiv", (Apply("Mul", (-1, S)), 4)), (-3, -1)),
        (Apply("Max", (S, 5)), (5, 9)),
        (Apply("Mul", (0, Symbol("u"))), (0, 0)),
        (Symbol("u"), (-inf, inf)),
        (Apply("Add", (Apply("Mul", (S, T)), Apply("Mul", (-1, T)))), (1, 40)),
        (Apply("Add", (Apply("Mul", (S, S, T)), Apply("Mul", (-2, S, T)), T)), (1, 320)),
        (Apply("Add", (Apply("Mul", (S, Symbol("v"))), Apply("Mul", (-1, Symbol("v"))))), (0, inf)),
        (Apply("FloorDiv", (-1, W)), (-1, -1)),
        (Apply("Add", (_times(W, X), _times(-1, W), _times(-1, X), 1)), (0, inf)),
        (Apply("Add", (_times(-1, W, X), W, X, -1)), (-inf, 0)),
        (Apply("Add", (_times(V, W, X), _times(-1, V, W), _times(-1, V, X), V)), (0, inf)),
        (Apply("Add", (_times(V, W), _times(-1, X))), (-inf, inf)),
    ],
)
def test_bounds(term: Term, wanted: tuple[float, float]) -> None:
    assert bounds(term, RANGES) == wanted
