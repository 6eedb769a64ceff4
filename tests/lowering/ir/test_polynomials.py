"""Normal forms: equal expressions are one, and each has the value of what it came from."""

from __future__ import annotations

from itertools import product

import pytest

from lowering.ir.polynomials import floor_divided, normal, polynomial, term_of
from lowering.ir.symbols import Apply, Symbol, Term, evaluate, to_text

S, T = Symbol("s"), Symbol("t")


def add(*terms: Term) -> Term:
    return Apply("Add", terms)


def mul(*terms: Term) -> Term:
    return Apply("Mul", terms)


def div(a: Term, b: Term) -> Term:
    return Apply("FloorDiv", (a, b))


TERMS = [
    add(S, T, mul(-1, S)),
    mul(add(S, 1), add(S, -1)),
    Apply("Pow", (add(S, T), 2)),
    div(mul(S, T), S),
    div(add(mul(4, S), 6), 4),
    div(add(S, 1), 2),
    div(mul(-1, S), 3),
    div(add(mul(6, S), mul(3, T), -5), 3),
    Apply("CeilDiv", (add(S, T), 4)),
    Apply("Mod", (S, 4)),
    Apply("PythonMod", (add(mul(8, S), T), 4)),
    add(Apply("Mod", (S, 3)), mul(3, div(S, 3))),
    Apply("Max", (add(T, S), 1)),
    Apply("Min", (mul(2, S), add(S, S))),
    div(S, T),
    div(div(add(S, 3), 4), 2),
    div(add(div(add(S, 1), 2), 1), 2),
    div(add(div(S, 2), T), 2),
    div(add(mul(3, div(S, 2)), 1), 2),
    div(div(S, 3), T),
    div(add(mul(S, T), mul(2, T), -1), T),
    div(add(mul(6, S, T), mul(3, T), 5), mul(3, T)),
    Apply("Max", (S, add(S, -1), T)),
    Apply("Min", (S, add(S, -1), 2**63 - 1)),
    Apply("Min", (2**63 - 1, 2**63 - 1)),
    Apply("Max", (S, 2.5)),
]


@pytest.mark.parametrize("term", TERMS, ids=to_text)
def test_a_normal_form_has_the_same_value(term: Term) -> None:
    for s, t in product((1, 2, 3, 7, 12), repeat=2):
        sizes = {"s": s, "t": t}
        assert evaluate(normal(term), sizes) == evaluate(term, sizes)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (add(S, T), add(T, S)),
        (mul(add(S, 1), 2), add(mul(2, S), 2)),
        (div(mul(S, T, 4), mul(2, T)), mul(2, S)),
        (add(Apply("Mod", (S, 3)), mul(3, div(S, 3))), S),
        (div(add(S, 5), 2), add(div(add(1, S), 2), 2)),
        (Apply("Max", (add(T, S), 1)), Apply("Max", (1, add(S, T)))),
        (div(add(div(add(S, 1), 2), 1), 2), div(add(S, 3), 4)),
        (div(div(div(S, 2), 2), 2), div(S, 8)),
        (div(add(mul(S, T), T, -1), T), add(S, 1, div(-1, T))),
        (Apply("Max", (add(S, -1), Apply("Min", (S, 2**63 - 1)))), S),
    ],
)
def test_equal_terms_have_one_form(left: Term, right: Term) -> None:
    assert normal(left) == normal(right)


def test_what_does_not_divide_stays_a_division() -> None:
    assert term_of(floor_divided(polynomial(S), polynomial(T))) == div(S, T)
    assert normal(div(add(S, 1), 2)) == div(add(1, S), 2)
