"""Races of two programs, against a clock of the tests' own."""

from __future__ import annotations

import itertools

import pytest

from bridge.tuning import race


class Clock:
    """A clock that programs move on, each call by what it is said to take; in the place of `time`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.rests = 0

    def perf_counter(self) -> float:
        return self.now

    def process_time(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.rests += 1

    def runner(self, *seconds: float) -> race.Runner:
        """A program whose calls take these times in turn, over and over."""
        times = itertools.cycle(seconds)

        def call() -> None:
            self.now += next(times)

        return race.Runner(call, lambda: ((), {}))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(race, "time", found)
    return found


def test_a_race_tells_the_faster_one_at_once(clock: Clock) -> None:
    slow, fast = race.race(clock.runner(0.02), clock.runner(0.001), 0.1)
    assert (slow, fast) == (pytest.approx(0.02), pytest.approx(0.001))
    # One turn of each side, after a rest each: nothing is in doubt.
    assert clock.rests == 2


def test_a_race_that_is_close_goes_on_until_its_time_is_up(clock: Clock) -> None:
    start = clock.now
    slow, fast = race.race(clock.runner(0.11), clock.runner(0.1), 5.0)
    assert (slow, fast) == (pytest.approx(0.11), pytest.approx(0.1))
    assert 5.0 < clock.now - start < 5.5


def test_what_is_slow_once_in_a_while_counts_as_it_mostly_is(clock: Clock) -> None:
    steady, jumpy = race.race(clock.runner(0.1), clock.runner(0.09, 0.09, 0.09, 0.5), 30.0)
    assert (steady, jumpy) == (pytest.approx(0.1), pytest.approx(0.09))
