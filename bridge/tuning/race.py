"""Which of two compiled programs is faster: turns of calls, taken one after the other in this process.

Runtimes share the cores, and threads of one go on waiting for work after a call. So a turn begins when all of
this process' threads are asleep. It is several calls in a row, whose mean counts: the least would favour a
side that varies much. The figure of a side is the lower quartile of its turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

# A thread is asleep if it works less than a tenth of this time. A thread that has not slept in the longer
# time never will.
_REST_S, _LONGEST_REST_S = 0.01, 0.2
# A turn of a fast program lasts about this long, and a turn has no more calls than this.
_TURN_S = 0.01
_CALLS = 50
# Calls before the first turn: sizes that the data gives are compiled for at the second.
_WARM_UP = 2
_LEAST_TURNS, _MOST_TURNS = 3, 40
# A side that is this much slower after the least number of turns has lost; or after the first turn.
_HOPELESS, _HOPELESS_AT_ONCE = 1.25, 2.0


class Runner:
    """A compiled program with arguments: each call gets its own copy where the program writes to them."""

    def __init__(self, compiled: Callable[..., Any], call: Callable[[], tuple[Any, Any]]) -> None:
        self._compiled = compiled
        self._call = call
        last = [self._once() for _ in range(_WARM_UP)][-1]
        self._calls = max(1, min(_CALLS, int(_TURN_S / max(last, 1e-9))))

    def turn(self) -> float:
        """Seconds of a call in a turn of several, after a rest and one call that is not timed."""
        rest()
        if self._calls > 1:
            self._once()
        return sum(self._once() for _ in range(self._calls)) / self._calls

    def _once(self) -> float:
        args, kwargs = self._call()
        start = time.perf_counter()
        self._compiled(*args, **kwargs)
        return time.perf_counter() - start


def rest() -> None:
    """Sleep until no thread of this process works. OpenMP's spin for some milliseconds after a call, those of
    other runtimes longer. On two cores a program beside them takes up to twice its time."""
    end = time.perf_counter() + _LONGEST_REST_S
    while time.perf_counter() < end:
        worked = time.process_time()
        time.sleep(_REST_S)
        if time.process_time() - worked < 0.1 * _REST_S:
            return


def race(one: Runner, other: Runner, seconds: float) -> tuple[float, float]:
    """The lower quartile, in seconds, of each side's turns within a time. Three turns at least count, or one
    that leaves no doubt."""
    turns: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while len(turns) < _MOST_TURNS:
        turns.append((one.turn(), other.turn()))
        ahead, behind = sorted((_quartile(turns, 0), _quartile(turns, 1)))
        if behind > _HOPELESS_AT_ONCE * ahead:
            break
        if len(turns) >= _LEAST_TURNS and (time.perf_counter() > end or behind > _HOPELESS * ahead):
            break
    return _quartile(turns, 0), _quartile(turns, 1)


def _quartile(turns: list[tuple[float, float]], side: int) -> float:
    return sorted(turn[side] for turn in turns)[len(turns) // 4]
