"""Cases tried in forked children with limits: a crash, a hang or a leak ends a child, never the fuzzer.

A child inherits what its parent has imported, takes the cases of a batch one after another, and tells how
each ended. The case at which it died is charged with the death, and another child takes up the rest.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

# Exceptions that an act lets through are told by their innermost frames: what tells one defect from another.
_FRAMES = 3


class Ending(Enum):
    """How a case ended."""

    #: The act returned a text.
    RETURNED = "returned"
    #: It raised.
    RAISED = "raised"
    #: A signal or an exit ended the child.
    CRASHED = "crashed"
    #: It took longer than the limit.
    HUNG = "hung"


class Outcome(NamedTuple):
    """How a case ended. `detail`: what the act returned, the exception and its frames, or the signal's name
    with the last line on standard error."""

    ending: Ending
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What one case may take. `seconds`: of the processor, for a busy machine is slow at what is quick; or
    `waiting` seconds on the clock, for what sleeps. `memory`: bytes of address space beyond what the child
    begins with."""

    seconds: float = 5.0
    waiting: float = 60.0
    memory: int = 1 << 30


def run_cases(
    cases: Sequence[T], act: Callable[[T], str], limits: Limits | None = None
) -> Iterator[tuple[T, Outcome]]:
    """Each case with how `act` on it ended, in order.

    The process must have no thread that holds a lock: import what `act` needs, and let children run it.
    """
    at = 0
    while at < len(cases):
        for outcome in _one_child(cases[at:], act, limits or Limits()):
            yield cases[at], outcome
            at += 1


def run_case(act: Callable[[], str], limits: Limits | None = None) -> Outcome:
    """One case in a child of its own."""
    ((_, outcome),) = run_cases([act], lambda case: case(), limits)
    return outcome


def _one_child(cases: Sequence[T], act: Callable[[T], str], limits: Limits) -> Iterator[Outcome]:
    """Outcomes until the cases are done or the child is dead."""
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as errors:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            _be_the_child(cases, act, limits, writing, errors)
        os.close(writing)
        lines = _Lines(reading, pid, limits)
        try:
            for _ in cases:
                began = time.monotonic()
                line = lines.next()
                took = time.monotonic() - began
                if not line:
                    yield _death(pid, line is None, errors, took)
                    return
                ending, detail = json.loads(line)
                yield Outcome(Ending(ending), detail, took)
            os.waitpid(pid, 0)
        except GeneratorExit:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        finally:
            os.close(reading)


class _Lines:
    """Lines from a child's pipe, each awaited for a limited time."""

    def __init__(self, reading: int, pid: int, limits: Limits) -> None:
        self._reading = reading
        self._pid = pid
        self._limits = limits
        self._pending = b""

    def next(self) -> bytes | None:
        """The next line; empty where the writer ended, None where the time was up."""
        deadline, used = time.monotonic() + self._limits.waiting, _processor_seconds(self._pid)
        while b"\n" not in self._pending:
            ready, _, _ = select.select([self._reading], [], [], 0.2)
            if not ready:
                if time.monotonic() > deadline:
                    return None
                if _processor_seconds(self._pid) - used > self._limits.seconds:
                    return None
                continue
            read = os.read(self._reading, 1 << 16)
            if not read:
                return b""
            self._pending += read
        line, _, self._pending = self._pending.partition(b"\n")
        return line


def _death(pid: int, hung: bool, errors: Any, took: float) -> Outcome:
    if hung:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if hung:
        return Outcome(Ending.HUNG, f"more than {took:.1f} s", took)
    code = os.waitstatus_to_exitcode(status)
    how = signal.Signals(-code).name if code < 0 else f"exit {code}"
    errors.seek(0)
    said = errors.read().decode(errors="replace").splitlines()
    return Outcome(Ending.CRASHED, f"{how}: {' | '.join(said[-8:])}"[:2000], took)


def _be_the_child(
    cases: Sequence[T], act: Callable[[T], str], limits: Limits, writing: int, errors: Any
) -> None:
    """Try the cases and end the process; does not return."""
    code = 1
    try:
        with open(os.devnull, "r+b") as nothing:
            os.dup2(nothing.fileno(), 0)
            os.dup2(nothing.fileno(), 1)
        os.dup2(errors.fileno(), 2)
        faulthandler.enable(errors)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        bound = _address_space() + limits.memory
        resource.setrlimit(resource.RLIMIT_AS, (bound, resource.RLIM_INFINITY))
        for case in cases:
            try:
                told = (Ending.RETURNED.value, act(case))
            except BaseException as error:
                told = (Ending.RAISED.value, _told(error))
            os.write(writing, json.dumps(told).encode() + b"\n")
        code = 0
    finally:
        os._exit(code)


def _told(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    where = " < ".join(f"{os.path.basename(f.filename)}:{f.lineno} {f.name}" for f in reversed(frames))
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]} [{where}]"


def _processor_seconds(pid: int) -> float:
    """What a process has used of the processor, all its threads together (Linux)."""
    with open(f"/proc/{pid}/stat", "rb") as stream:
        fields = stream.read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _address_space() -> int:
    """Bytes of address space that this process has now (Linux)."""
    with open("/proc/self/statm", "rb") as stream:
        return int(stream.read().split()[0]) * resource.getpagesize()
