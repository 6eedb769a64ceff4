"""Compilations in the background: few threads, and what most calls ask for comes first."""

from __future__ import annotations

import threading
from collections.abc import Callable

from lowering.host.shutdown import closed_at_exit, idle

# A compiler uses all cores by itself, or is a child process beside the calls that go on.
_WORKERS = 1
# How long a worker waits for more before it ends, in seconds.
_IDLE_S = 5.0


@closed_at_exit("run")
class Work:
    """Something to do once. `wanted`: how many have asked for it."""

    def __init__(self, function: Callable[[], None]) -> None:
        self.wanted = 1
        self._function = function
        self._begun = threading.Lock()

    def run(self) -> None:
        """Do it, unless a thread has begun it already."""
        if self._begun.acquire(blocking=False):
            self._function()

    @property
    def begun(self) -> bool:
        """Whether a thread has begun it."""
        return self._begun.locked()


class Workers:
    """Threads that do work in the order of demand. They are daemons, and end where nothing is left to do."""

    def __init__(self, count: int = _WORKERS, idle: float = _IDLE_S) -> None:
        self._count = count
        self._idle = idle
        self._waiting: list[Work] = []
        self._threads = 0
        self._changed = threading.Condition()

    def add(self, work: Work) -> None:
        """Have a worker do it."""
        with self._changed:
            self._waiting.append(work)
            if self._threads < self._count:
                self._threads += 1
                threading.Thread(target=self._work, name="bridge-compiler", daemon=True).start()
            self._changed.notify()

    def _work(self) -> None:
        while self._has_done_some():
            pass

    def _has_done_some(self) -> bool:
        """Do what is wanted most. A thread that waits for more holds on to none of it."""
        work = self._next()
        if work is not None:
            work.run()
        return work is not None

    @idle
    def _next(self) -> Work | None:
        """The work that is wanted most; None, and one worker less, where none comes for a while."""
        with self._changed:
            while True:
                self._waiting = [work for work in self._waiting if not work.begun]
                if self._waiting:
                    work = max(self._waiting, key=lambda work: work.wanted)
                    self._waiting.remove(work)
                    return work
                if not self._changed.wait(self._idle) and not self._waiting:
                    self._threads -= 1
                    return None


workers = Workers()
