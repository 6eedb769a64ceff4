"""The end of the interpreter while daemon threads are calling.

CPython ends a daemon thread when it next wants the global lock after the interpreter began to end. A thread
that comes back from an engine or from torch is then in C++, and the process aborts (status 134). So before
the interpreter ends, no other thread begins a call: it ends as by `sys.exit`. A thread that goes on
nevertheless waits for good. And calls that have begun are waited for.

Calls pay nothing for this: the methods are replaced at the end, and threads are found by their frames.
"""

from __future__ import annotations

import atexit
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import CodeType, FrameType
from typing import Any, TypeVar

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_PACKAGES = frozenset({"bridge", "lowering", "runtime"})
# A thread that waits for a compiler, which is a child process, is not inside C++.
_HARMLESS = frozenset({"selectors", "subprocess"})
# The pauses in which calls are waited for: a minute. And the grace for threads in torch between two calls.
# They are counted, not timed: a machine that has no time for calls has none for pauses either.
_PAUSES, _GRACE = 12_000, 10
_PAUSE_S = 0.005

_entries: list[tuple[type, str]] = []
_codes: set[CodeType] = set()
_idle: set[CodeType] = set()
_ends: dict[object, Callable[[], None]] = {}
_never = threading.Lock()
_told: set[int] = set()


def closed_at_exit(*names: str) -> Callable[[type[T]], type[T]]:
    """For a class: its methods and properties of these names begin in no other thread once Python ends."""

    def register(owner: type[T]) -> type[T]:
        for name in names:
            _entries.append((owner, name))
            _codes.add(_function(vars(owner)[name]).__code__)
        return owner

    return register


@contextmanager
def ended_at_exit(end: Callable[[], None]) -> Iterator[None]:
    """For a thread that waits for another process: `end` ends that where the interpreter ends before it."""
    key = object()
    _ends[key] = end
    if _never.locked():
        end()
    try:
        yield
    finally:
        del _ends[key]


def is_closing() -> bool:
    """Whether the interpreter ends: what has been ended by `ended_at_exit` did not fail."""
    return _never.locked()


def idle(function: F) -> F:
    """For a function that only waits for something to do: a thread in it is not in a call."""
    _idle.add(_function(function).__code__)
    return function


@atexit.register
def close() -> None:
    """Let no thread but this one begin a call, and wait for those that have."""
    if not _states():
        return
    _never.acquire()
    for owner, name in _entries:
        setattr(owner, name, _closed(vars(owner)[name], threading.get_ident()))
    for end_other in list(_ends.values()):
        end_other()
    _wait_until_quiet()


def _wait_until_quiet() -> None:
    """Return once all other threads wait for good, or none has been in a call for the time of grace."""
    quiet = 0
    for _ in range(_PAUSES):
        states = _states()
        if all(state == _PARKED for state in states):
            return
        quiet = 0 if _BUSY in states else quiet + 1
        if quiet > _GRACE:
            return
        time.sleep(_PAUSE_S)


_BUSY, _PARKED, _ELSEWHERE = "busy", "parked", "elsewhere"


def _states() -> list[str]:
    """The state of each other thread: in a call of ours, waiting for good, or elsewhere."""
    own = threading.get_ident()
    return [_state(frame) for thread, frame in sys._current_frames().items() if thread != own]


def _state(frame: FrameType) -> str:
    if frame.f_code is _end_thread.__code__:
        return _PARKED
    if _module(frame) in _HARMLESS:
        return _ELSEWHERE
    at: FrameType | None = frame
    while at is not None:
        if at.f_code in _idle:
            return _ELSEWHERE
        if _module(at).split(".")[0] in _PACKAGES:
            return _BUSY
        at = at.f_back
    return _ELSEWHERE


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__"))


def _closed(attribute: Any, last: int) -> Any:
    """A method or property that only the thread `last` begins; a call may itself call others."""
    function = _function(attribute)

    @wraps(function)
    def entered(*args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != last and not _in_a_call(sys._getframe(1)):
            _end_thread()
        return function(*args, **kwargs)

    return property(entered) if isinstance(attribute, property) else entered


def _in_a_call(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code in _codes:
            return True
        frame = frame.f_back
    return False


def _end_thread() -> None:
    """End this thread. Where it does not let itself be ended, wait for good."""
    if threading.get_ident() in _told:
        _never.acquire()
    _told.add(threading.get_ident())
    raise SystemExit


def _function(attribute: Any) -> Any:
    return attribute.fget if isinstance(attribute, property) else attribute
