"""Demand: how often calls come with each sizes, and the cost of one without an executable for them.

Counts halve after a while, as in TinyLFU (Einziger, Friedman, Manes: TinyLFU, a highly efficient cache
admission policy, ACM Transactions on Storage, 2017). Sizes that were asked for often, and no longer are, lose
their place.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

# After this many calls the counts halve.
PERIOD = 1024


class Demand(Generic[K]):
    """Calls by the sizes that they come with. Not safe for threads: its owner has a lock."""

    def __init__(self, period: int = PERIOD) -> None:
        self._period = period
        self._calls = 0
        self._counts: dict[K, int] = {}
        self._seconds: dict[K, float] = {}

    def note(self, key: K) -> None:
        """One more call comes with these sizes."""
        self._counts[key] = self._counts.get(key, 0) + 1
        self._calls += 1
        if self._calls >= self._period:
            self._calls = 0
            self._halve()

    def count(self, key: K) -> int:
        """How many came lately."""
        return self._counts.get(key, 0)

    def cost(self, key: K, seconds: float) -> None:
        """A call with these sizes takes so much longer where they have no executable of their own."""
        if key in self._counts:
            self._seconds[key] = seconds

    def worth(self, key: K) -> float:
        """The seconds that an executable of their own saves in as many calls as came lately."""
        return self.count(key) * self._seconds.get(key, 0.0)

    def least(self, keys: Iterable[K]) -> K:
        """The one of these that is worth least; of equal ones the first."""
        return min(keys, key=self.worth)

    def _halve(self) -> None:
        self._counts = {key: count // 2 for key, count in self._counts.items() if count > 1}
        self._seconds = {key: seconds for key, seconds in self._seconds.items() if key in self._counts}
