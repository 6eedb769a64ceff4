"""Counting work tells what is in proportion from what is a square."""

from __future__ import annotations

import sys

from tests.work import growth, lines_run


def straight(size: int) -> int:
    total = 0
    for number in range(size):
        total += number
    return total


def squared(size: int) -> int:
    return sum(straight(size) for _ in range(size))


def test_a_line_counts_each_time_it_runs() -> None:
    assert lines_run(lambda: straight(100)) - lines_run(lambda: straight(50)) == 100


def test_what_is_counted_before_goes_on_being_counted() -> None:
    before = sys.gettrace()
    lines_run(lambda: straight(1))
    assert sys.gettrace() is before


def test_a_square_grows_by_four_and_a_line_by_two() -> None:
    assert 1.9 < growth(lambda size: lambda: straight(size), 200) < 2.1
    assert growth(lambda size: lambda: squared(size), 50) > 3.5
