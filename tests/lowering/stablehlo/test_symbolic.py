"""Symbolic sizes: arithmetic keeps expressions, questions are proved, told by ranges, or become guards."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import pytest

from lowering.ir.polynomials import polynomial
from lowering.ir.program import Range
from lowering.ir.symbols import Apply, Symbol, to_text
from lowering.stablehlo.size_questions import at_least, same, surely_less
from lowering.stablehlo.symbolic import Assumptions, Specialised, is_symbolic


def sizes(*zero: Any) -> tuple[Assumptions, Any, Any]:
    """`s` from 2 to 64 and `t` from 1 on; in the example 8 and 3."""
    ranges = {"s": Range(2, 64), "t": Range(1, None)}
    assumptions = Assumptions(ranges, {"s": 8, "t": 3}, [polynomial(fact) for fact in zero])
    return assumptions, assumptions.size(Symbol("s")), assumptions.size(Symbol("t"))


def guards(assumptions: Assumptions) -> list[str]:
    return [to_text(guard) for guard in assumptions.guards]


def test_arithmetic_keeps_the_expression() -> None:
    _, s, t = sizes()
    assert str((s + 1) * t - t) == "s*t"
    assert str(prod((s, t, 4)) // t) == "4*s"
    assert str(10 - s) == "10 - s"
    assert s - s == 0
    assert not is_symbolic(s - s)
    assert (4 * s) % 2 == 0
    assert str(-(-s // 2)) == "-((-s) // 2)"
    assert isinstance(s, int)
    assert is_symbolic(s)


@pytest.mark.parametrize(
    "question",
    [
        lambda s, t: s == s + t - t,
        lambda s, t: s != s + 1,
        lambda s, t: s < s + t,
        lambda s, t: s >= 2,
        lambda s, t: s <= 64,
        lambda s, t: s * t > 1,
        lambda s, t: bool(s),
        lambda s, t: not s < 1,
        lambda s, t: s != 65,
        lambda s, t: s * t > t,
    ],
)
def test_what_ranges_tell_is_no_guard(question: Callable[[Any, Any], bool]) -> None:
    assumptions, s, t = sizes()
    assert question(s, t)
    assert not assumptions.guards


def test_what_they_do_not_tell_is_the_examples_and_a_guard() -> None:
    assumptions, s, t = sizes()
    assert s <= 16
    assert not s <= t
    assert s != t
    assert guards(assumptions) == ["s <= 16".replace("s <= 16", "16 >= s"), "t < s", "s != t"]
    assert all("test_symbolic.py" in site for site in assumptions.guards.values())


def test_a_size_is_taken_for_other_than_1_without_a_guard() -> None:
    assumptions, _, t = sizes()
    assert t != 1
    assert not assumptions.guards


def test_what_the_program_says_is_known() -> None:
    rest = Apply("Mod", (Symbol("s"), 4))
    assumptions, s, _ = sizes(rest)
    assert s // 4 * 4 == s
    assert s % 4 == 0
    assert not assumptions.guards


def test_questions_that_make_no_guard() -> None:
    assumptions, s, t = sizes()
    assert same((s, 4), (s, 4))
    assert not same((s, 4), (t, 4))
    assert surely_less(1, s)
    assert not surely_less(t, s)
    assert at_least(s, 1) is s
    assert str(at_least(t - 1, 2)) == "Max(-1 + t, 2)"
    assert not assumptions.guards


@pytest.mark.parametrize(
    "use",
    [
        lambda s: range(s),
        lambda s: np.zeros(s),
        lambda s: 1 / s,
        lambda s: float(s),
        lambda s: [0] * s,
        lambda s: s.bit_length(),
        lambda s: s & 3,
        lambda s: s < 1.5,
        lambda s: s * 0.5,
    ],
)
def test_a_plain_number_cannot_be_had(use: Callable[[Any], Any]) -> None:
    _, s, _ = sizes()
    with pytest.raises(Specialised, match="its rule takes the size s"):
        use(s)


def test_conditions_of_the_program_are_questions() -> None:
    assumptions, _, _ = sizes()
    assert assumptions.scalar(Apply("GreaterThan", (Symbol("s"), 2))) is True
    assert assumptions.scalar(Apply("Not", (Apply("Equality", (Symbol("s"), 1)),))) is True
    with pytest.raises(Specialised, match="computed from sizes as a float"):
        assumptions.scalar(Apply("ToFloat", (Symbol("s"),)))
