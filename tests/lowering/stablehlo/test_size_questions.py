"""Questions about sizes: extremes stay expressions, and what eager refuses too is the program's own guard."""

from __future__ import annotations

from typing import Any

from lowering.ir.program import Range
from lowering.ir.symbols import Symbol, to_text
from lowering.stablehlo.size_facts import OWN
from lowering.stablehlo.size_questions import MOST_ELEMENTS, are_equal, at_least, at_most, differs, fits, most
from lowering.stablehlo.symbolic import Assumptions


def sizes() -> tuple[Assumptions, Any, Any]:
    """`s` from 2 to 64 and `t` from 1 on; in the example 8 and 3."""
    assumptions = Assumptions({"s": Range(2, 64), "t": Range(1, None)}, {"s": 8, "t": 3})
    return assumptions, assumptions.size(Symbol("s")), assumptions.size(Symbol("t"))


def test_extremes_ask_nothing() -> None:
    assumptions, s, t = sizes()
    assert at_least(s, 2) is s
    assert at_most(64, s) is s
    assert at_most(s, 1) == 1
    assert at_least(70, s) == 70
    assert str(at_most(t, 5)) == "Min(5, t)"
    assert (at_least(3, 4), at_most(3, 4)) == (4, 3)
    assert not assumptions.guards


def test_the_greatest_number_a_size_can_be() -> None:
    _, s, t = sizes()
    assert most(s) == 64
    assert most(2 * s + 1) == 129
    assert most(t) == MOST_ELEMENTS
    assert most(7) == 7


def test_what_eager_refuses_too_is_the_programs_own_guard() -> None:
    assumptions, s, t = sizes()
    assert fits(t, s)
    assert not fits(s, t)
    assert differs(s, 3)
    assert {to_text(guard) for guard in assumptions.guards} == {"s >= t", "s != 3"}
    assert set(assumptions.guards.values()) == {OWN}


def test_equal_sizes_are_equal_from_then_on() -> None:
    ranges = {"s": Range(2, 64), "t": Range(1, None)}
    assumptions = Assumptions(ranges, {"s": 8, "t": 8})
    s, t = assumptions.size(Symbol("s")), assumptions.size(Symbol("t"))
    assert are_equal((s, 4), (t, 4))
    assert s == t
    assert list(assumptions.guards.values()) == [OWN]
    assert not are_equal((s, 4), (t, 5))
    assert are_equal((2, 3), (2, 3))
