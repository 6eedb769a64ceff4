"""How often sizes are asked for, and what they are worth."""

from __future__ import annotations

from runtime.demand import Demand


def test_worth_is_the_time_that_calls_would_have_taken() -> None:
    demand: Demand[str] = Demand()
    for key in ("often", "often", "often", "dear"):
        demand.note(key)
    demand.cost("often", 1.0)
    demand.cost("dear", 2.0)
    assert (demand.worth("often"), demand.worth("dear"), demand.worth("unknown")) == (3.0, 2.0, 0.0)
    assert demand.least(["often", "dear"]) == "dear"
    assert demand.least(["first", "second"]) == "first"


def test_old_calls_count_half_and_what_is_rare_is_forgotten() -> None:
    demand: Demand[str] = Demand(period=4)
    for key in ("a", "a", "a"):
        demand.note(key)
    demand.cost("a", 1.0)
    demand.note("b")
    assert (demand.count("a"), demand.count("b")) == (1, 0)
    assert set(demand._counts) == set(demand._seconds) == {"a"}


def test_the_cost_of_what_nobody_asked_for_is_not_kept() -> None:
    demand: Demand[str] = Demand()
    demand.cost("a", 1.0)
    assert not demand._seconds
