"""`--timeout` and `--max-memory`: the command runs in a child that a supervisor ends (Linux).

Nothing in its own process can interrupt native code, and some of it ends the process where memory is refused.
The supervisor is forked off before anything heavy is imported; it says what happened, in a sentence.
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
import select
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from bridge.errors import UsageError

Timeout = Annotated[
    float | None,
    typer.Option(help="End the command after so many seconds, in a sentence.", show_default=False),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(help="How much memory the command may take, as 2G.", show_default=False),
]

_SIZE = re.compile(r"([0-9]{1,15})([KMGT]?)")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
# Python and what is imported take this much; with less, nothing that happens means anything.
_LEAST = 512 << 20
_DIE_WITH_PARENT, _ADOPT_ORPHANS = 1, 36


def limit(timeout: float | None, max_memory: str | None) -> None:
    """Go on in a child with these limits; the caller's own process waits for it, and ends as it does.

    Memory is what a process writes to (RLIMIT_DATA): weights that are mapped from a file do not count. Raises
    UsageError for a limit that is none.
    """
    if timeout is not None and not 0 < timeout < 1e9:
        raise UsageError(f"--timeout takes a number of seconds above 0, not {timeout}")
    most = _bytes(max_memory) if max_memory is not None else None
    if timeout is None and most is None:
        return
    if not hasattr(os, "pidfd_open"):
        raise UsageError("--timeout and --max-memory need Linux")
    # Processes that the child leaves running, such as a compiler, become this one's to end.
    _prctl(_ADOPT_ORPHANS, 1)
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    child = os.fork()
    if child:
        _supervise(child, timeout, max_memory)
    _prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    if most is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _supervise(child: int, timeout: float | None, max_memory: str | None) -> NoReturn:
    """Wait for the child, end what it leaves, and exit as it did, or with 1 and a sentence."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the child as well
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    watched = os.pidfd_open(child)
    poll = select.poll()
    poll.register(watched, select.POLLIN)
    in_time = bool(poll.poll(None if timeout is None else timeout * 1000))
    if not in_time:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    _end_orphans()
    code = os.waitstatus_to_exitcode(status)
    if not in_time:
        _exit(f"the command took more than {timeout:g} s (--timeout) and was ended")
    if code < 0 and max_memory is not None:
        _exit(
            f"the command ended with {signal.Signals(-code).name}, as native code may that gets no memory; "
            f"it may take {max_memory} (--max-memory)"
        )
    os._exit(code if code >= 0 else 128 - code)


def _end_orphans() -> None:
    """Kill all processes that descend from the child."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while True:
        try:
            for process in children.read_text().split():
                with suppress(ProcessLookupError):
                    os.kill(int(process), signal.SIGKILL)
            os.waitpid(-1, 0)
        except (ChildProcessError, OSError):
            return


def _exit(sentence: str) -> NoReturn:
    print(f"bridge: {sentence}", file=sys.stderr, flush=True)
    os._exit(1)


def _bytes(text: str) -> int:
    found = _SIZE.fullmatch(text.upper().removesuffix("B"))
    most = int(found[1]) * _UNITS[found[2]] if found is not None else 0
    if most < _LEAST:
        raise UsageError(f"--max-memory takes a number of bytes, as 2G, and 512M at least, not {text!r}")
    return most


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
