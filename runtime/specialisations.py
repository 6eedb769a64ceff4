"""The executables of a segment, one for each sizes that it was compiled for.

A call at sizes that are compiled never waits for a compiler. Sizes are compiled once, however many threads
ask for them: by the thread that meets them first, or in the background.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from enum import Enum
from functools import partial
from typing import Generic, TypeVar

from lowering.ir.symbols import Scalar
from runtime.background import Work, workers
from runtime.report import Report

T = TypeVar("T")

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


class Specialisations(Generic[T]):
    """Calls by the sizes that they are for, at most `capacity`: the least recently used goes out first.

    `compile(sizes)`: gives the call for sizes, None where the engine refuses them.
    """

    def __init__(
        self, compile: Callable[[Sizes], T | None], capacity: int, report: Report, on_new_size: OnNewSize
    ) -> None:
        self._compile = compile
        self._capacity = capacity
        self._report = report
        self._on_new_size = on_new_size
        self._ready: OrderedDict[Key, T | None] = OrderedDict()
        self._pending: dict[Key, tuple[Future[T | None], Work]] = {}
        self._lock = threading.Lock()

    def peek(self, key: Key) -> T | None:
        """The call that is there for these sizes, without compiling or counting."""
        return self._ready.get(key)

    def ready(self, key: Key) -> T | None:
        """The call that is there for these sizes, and is counted; None where there is none yet."""
        with self._lock:
            found = self._ready.get(key)
            if found is not None:
                self._ready.move_to_end(key)
                self._report.hits += 1
            return found

    def knows(self, key: Key) -> bool:
        """Whether these sizes are compiled, or are being compiled."""
        return key in self._ready or key in self._pending

    def get(self, key: Key, sizes: Sizes, wait: bool = False) -> T | None:
        """The call for these sizes; None where the engine refuses them, or they are not compiled yet.

        `wait`: until they are, whatever calls do otherwise.
        """
        wait = wait or self._on_new_size is OnNewSize.WAIT
        with self._lock:
            if key in self._ready:
                self._ready.move_to_end(key)
                self._report.hits += 1
                return self._ready[key]
            found = self._pending.get(key)
            if found is None:
                self._report.misses += 1
                future: Future[T | None] = Future()
                work = Work(partial(self._fill, key, sizes, future))
                self._pending[key] = future, work
                if not wait:
                    workers.add(work)
            else:
                future, work = found
                work.wanted += 1
                # A call that waits for another's compilation compiles nothing itself.
                self._report.hits += wait
            if not wait:
                self._report.deferred += 1
                return None
        # A waiting thread does the work itself, unless another has begun it.
        work.run()
        return future.result()

    def _fill(self, key: Key, sizes: Sizes, future: Future[T | None]) -> None:
        """Compile for all who wait. They get an error too, and the sizes stay unknown."""
        try:
            made = self._compile(sizes)
        except BaseException as error:
            with self._lock:
                del self._pending[key]
            future.set_exception(error)
            return
        with self._lock:
            del self._pending[key]
            self._ready[key] = made
            if len(self._ready) > self._capacity:
                self._ready.popitem(last=False)
                self._report.evictions += 1
        future.set_result(made)
