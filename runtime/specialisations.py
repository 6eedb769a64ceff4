"""The executables of a segment, one for each sizes that it was compiled for.

A call at sizes that are compiled never waits for a compiler. Sizes are compiled once, however many threads
ask for them: by the thread that meets them first, or in the background.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from enum import Enum
from functools import partial
from time import perf_counter
from typing import Any, Generic, TypeVar

from lowering.host.background import Work, workers
from lowering.ir.symbols import Scalar
from runtime.demand import Demand
from runtime.report import Report

T = TypeVar("T")

_LOGGER = logging.getLogger("bridge")

Key = tuple[Scalar | None, ...]
Sizes = Mapping[str, Scalar]


class OnNewSize(Enum):
    """The way of a call whose sizes are not compiled yet."""

    #: It waits until they are.
    WAIT = "wait"
    #: It runs on ATen; they are compiled in the background.
    ATEN = "aten"
    #: It runs on the binary for all sizes, where there is one, else on ATen; the same in the background.
    DYNAMIC = "dynamic"


@dataclass(slots=True)
class _Pending(Generic[T]):
    """Sizes that are being compiled. `awaited`: whether a call waits for them."""

    future: Future[T | None]
    work: Work
    awaited: bool


class Specialisations(Generic[T]):
    """Calls by the sizes that they are for: those that were prepared, and at most `capacity` others.

    The others hold at most `most_bytes`, as `weigh` tells it of each, but one may stay in any case.
    Of these, the ones stay that save most time: see `runtime.demand`. Where calls wait, an executable saves
    its compilation. Where they do not, it saves the time of a call without it, which `took` tells.

    `compile(sizes)`: gives the call for sizes, None where the engine refuses them. `threshold`: at which call
    with new sizes they are compiled for in the background. `is_at_hand(sizes)`: whether that needs no
    compiler; calls wait for it then. `waits()`: whether a call waits for the compiler.
    `warm(sizes)`: does beforehand as much of `compile` as can be, without a reference to what is loaded. A
    process that ends while a compiler runs leaves nothing of an engine behind.
    """

    def __init__(
        self,
        compile: Callable[[Sizes], T | None],
        capacity: int,
        report: Report,
        waits: Callable[[], bool],
        threshold: int = 1,
        is_at_hand: Callable[[Sizes], bool] = lambda sizes: False,
        warm: Callable[[Sizes], None] | None = None,
        weigh: Callable[[T], int] = lambda made: 0,
        most_bytes: int = 0,
    ) -> None:
        self._compile = compile
        self._capacity = capacity
        self._report = report
        self._threshold = threshold
        self._is_at_hand = is_at_hand
        self._warm = warm or _nothing
        self._weigh = weigh
        self._most_bytes = most_bytes
        self.waits = waits
        self._ready: dict[Key, T | None] = {}
        self._pending: dict[Key, _Pending[T]] = {}
        self._prepared: set[Key] = set()
        self._demand: Demand[Key] = Demand()
        self._resumed: list[Key] = []
        self._lock = threading.Lock()

    def take_over(self, other: Specialisations[T], load: Callable[[Key], T]) -> None:
        """Begin with the sizes and demand of another, of older weights. Raises what `load` does."""
        with other._lock:
            ready = dict(other._ready)
            self._prepared, self._demand = set(other._prepared), deepcopy(other._demand)
            self._resumed = [key for key, pending in other._pending.items() if not pending.awaited]
        self._ready = {key: None if made is None else load(key) for key, made in ready.items()}

    def resume(self, sizes_of: Callable[[Key], Sizes]) -> None:
        """Compile in the background for the sizes that the other one was compiling for."""
        with self._lock:
            left = [key for key in self._resumed if key not in self._ready and key not in self._pending]
            self._resumed = []
            found = [self._begin(key, sizes_of(key), wait=False) for key in left]
        for pending in found:
            workers.add(pending.work)

    def peek(self, key: Key) -> T | None:
        """The call that is there for these sizes, without compiling or counting."""
        return self._ready.get(key)

    def ready(self, key: Key) -> T | None:
        """The call that is there for these sizes, and is counted; None where there is none yet."""
        with self._lock:
            found = self._ready.get(key)
            if found is not None:
                self._demand.note(key)
                self._report.hits += 1
            return found

    def any_ready(self) -> T | None:
        """A call that is there, for whichever sizes."""
        with self._lock:
            return next((made for made in self._ready.values() if made is not None), None)

    def keys(self) -> list[Key]:
        """The sizes that are compiled, and that the engine takes."""
        with self._lock:
            return [key for key, made in self._ready.items() if made is not None]

    def knows(self, key: Key) -> bool:
        """Whether these sizes are compiled, or are being compiled."""
        return key in self._ready or key in self._pending

    def took(self, key: Key, seconds: float) -> None:
        """A call at sizes that are not compiled took so long."""
        if not self.waits():
            with self._lock:
                self._demand.cost(key, seconds)

    def prepare(self, key: Key, sizes: Sizes) -> T | None:
        """The call for these sizes, which stays; None where the engine refuses them."""
        with self._lock:
            self._prepared.add(key)
        return self._get(key, sizes, wait=True)

    def get(self, key: Key, sizes: Sizes) -> T | None:
        """The call for these sizes; None where the engine refuses them, or they are not compiled yet."""
        return self._get(key, sizes, self.waits() or (key not in self._ready and self._is_at_hand(sizes)))

    def _get(self, key: Key, sizes: Sizes, wait: bool) -> T | None:
        with self._lock:
            self._demand.note(key)
            if key in self._ready:
                self._report.hits += 1
                return self._ready[key]
            if not wait:
                self._report.deferred += 1
            found = self._pending.get(key)
            if found is None:
                if not wait and not self._pays(key):
                    return None
                found = self._begin(key, sizes, wait)
                if not wait:
                    workers.add(found.work)
            else:
                found.work.wanted += 1
                found.awaited |= wait
                # A call that waits for another's compilation compiles nothing itself.
                self._report.hits += wait
        if not wait:
            return None
        # A waiting thread does the work itself, unless another has begun it.
        found.work.run()
        return found.future.result()

    def _begin(self, key: Key, sizes: Sizes, wait: bool) -> _Pending[T]:
        future: Future[T | None] = Future()
        # In the background, a program that is gone needs nothing any more.
        warm = _nothing if wait else self._warm
        work = Work(partial(_fill, weakref.ref(self), warm, key, sizes, future))
        self._pending[key] = found = _Pending(future, work, wait)
        return found

    def _pays(self, key: Key) -> bool:
        """Whether sizes are compiled for in the background: they are worth more than others that would go."""
        if key in self._prepared:
            return True
        others = self._others()
        # Nothing tells the weight of one more before it is there: it counts as the largest.
        if not self._is_full(others, max(map(self._bytes, others), default=0)):
            return self._demand.count(key) >= self._threshold
        return self._demand.worth(key) > self._demand.worth(self._demand.least(others))

    def _others(self) -> list[Key]:
        return [key for key in self._ready if key not in self._prepared]

    def _is_full(self, others: list[Key], more: int) -> bool:
        """Whether one more, of so many bytes, takes the place of others."""
        if not others:
            return False
        return len(others) >= self._capacity or sum(map(self._bytes, others)) + more > self._most_bytes > 0

    def _bytes(self, key: Key) -> int:
        made = self._ready[key]
        return 0 if made is None else self._weigh(made)

    def begin(self, key: Key, sizes: Sizes) -> bool:
        """Count the compilation that begins; False where others have become worth more by now."""
        with self._lock:
            if not self._pending[key].awaited and not self._pays(key):
                del self._pending[key]
                return False
            self._report.misses += 1
            return True

    def fill(self, key: Key, sizes: Sizes, future: Future[T | None], start: float) -> None:
        """Compile for all who wait. They get an error too, and the sizes stay unknown.

        Where nobody waits, the sizes are not tried again.
        """
        try:
            made = self._compile(sizes)
        except BaseException as error:
            with self._lock:
                if not self._pending.pop(key).awaited and isinstance(error, Exception):
                    self._ready[key] = None
                    kind = type(error).__name__
                    _LOGGER.warning("the sizes %s are not compiled: %s: %s", sizes, kind, error)
            future.set_exception(error)
            return
        with self._lock:
            del self._pending[key]
            if self.waits():
                self._demand.cost(key, perf_counter() - start)
            more = 0 if made is None else self._weigh(made)
            while key not in self._prepared and self._is_full(others := self._others(), more):
                del self._ready[self._demand.least(others)]
                self._report.evictions += 1
            self._ready[key] = made
        future.set_result(made)


def _nothing(sizes: Sizes) -> None:
    """Leave all to `compile`."""


def _fill(
    owner: weakref.ref[Specialisations[Any]],
    warm: Callable[[Sizes], None],
    key: Key,
    sizes: Sizes,
    future: Future[Any],
) -> None:
    found = owner()
    if found is None or not found.begin(key, sizes):
        return
    del found
    start = perf_counter()
    # An error comes again, to all who wait for it.
    with suppress(Exception):
        warm(sizes)
    if (found := owner()) is not None:
        found.fill(key, sizes, future, start)
