"""Progress of long work: its parts are logged, and whoever shows it is told of them as they begin.

`logging.getLogger("bridge")` gets a line at INFO when a part has ended, with its seconds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

LOG = logging.getLogger("bridge")

#: Called with a part's text when it begins.
Listener = Callable[[str], None]

_LISTENERS: ContextVar[tuple[Listener, ...]] = ContextVar("listeners", default=())


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """While it lasts, `listener` is told of every part of the work that this context begins."""
    token = _LISTENERS.set((*_LISTENERS.get(), listener))
    try:
        yield
    finally:
        _LISTENERS.reset(token)


@contextmanager
def part(text: str) -> Iterator[None]:
    """A part of the work, such as `segment 2 of 5`."""
    for listener in _LISTENERS.get():
        listener(text)
    start = time.monotonic()
    try:
        yield
    finally:
        LOG.info("%s: %.2f s", text, time.monotonic() - start)
