"""How much work a function does, as a count: the same on every machine, whatever else that does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def lines_run(work: Callable[[], object]) -> int:
    """How many lines of Python a function runs in this thread, those of what it calls included."""
    count = 0

    def follow(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        count += event == "line"
        return follow

    before = sys.gettrace()
    sys.settrace(follow)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def growth(work: Callable[[int], Callable[[], object]], size: int) -> float:
    """How many times as many lines twice the size takes: 2 for work in proportion, 4 for a square.

    `work(n)` prepares a function of size n, which is counted; a first one fills what is kept between calls.
    """
    work(size)()
    return lines_run(work(2 * size)) / lines_run(work(size))
