"""Answers that follow as no tensor of a program is empty: guards of the program's own."""

from __future__ import annotations

from lowering.ir.program import Range
from lowering.ir.symbols import Apply, Symbol
from lowering.stablehlo.size_facts import OWN
from lowering.stablehlo.symbolic import Assumptions

S, T = Symbol("s"), Symbol("t")


def test_a_window_that_the_program_uses_fits() -> None:
    windows = Apply("Add", (1, Apply("FloorDiv", (Apply("Add", (S, Apply("Mul", (-1, T)))), 2))))
    assumptions = Assumptions({"s": Range(1, None), "t": Range(1, None)}, {"s": 8, "t": 3}, sizes=[windows])
    s, t = assumptions.size(S), assumptions.size(T)
    assert s >= t
    assert (s - t) // 2 + 1 != 0
    assert set(assumptions.guards.values()) == {OWN}


def test_a_size_that_has_no_fact_is_asked() -> None:
    assumptions = Assumptions({"s": Range(1, None), "t": Range(1, None)}, {"s": 8, "t": 3})
    assert assumptions.size(S) >= assumptions.size(T)
    assert OWN not in assumptions.guards.values()
    assert len(assumptions.guards) == 1
