"""The process that compiles behind a server's calls, as the server sees it.

In the server's own process a compilation would hold Python's lock for up to a tenth of a second, take cores
from calls, and leave the compiler's memory behind; and a compiler that crashes would end the server.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

import bridge
from bridge.compile_worker import READY, Reply, Request, receive, send
from lowering.host.shutdown import closed_at_exit, ended_at_exit, is_closing
from lowering.ir.errors import EngineError

# The classes of requests and replies are those of that module, not of `__main__`.
_COMMAND = ("-c", "from bridge.compile_worker import main; main()")

# How long it may take to end the compilers that it has started, in seconds.
_GRACE_S = 1.0
# Reading and writing raise these where the process has ended, or is another program.
_GONE = (EOFError, OSError, MemoryError, pickle.UnpicklingError)


@closed_at_exit("compile")
class BackgroundCompiler:
    """One process, which is started when something is asked of it, and answers one request at a time."""

    def __init__(self, command: tuple[str, ...] = _COMMAND) -> None:
        self._command = command
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        # A process that was forked from ours has no right to ours' child.
        self._owner = 0
        self._cannot_start = not sys.executable

    def compile(self, request: Request) -> Reply | None:
        """The reply; None where no such process can be started. Raises EngineError where it ends meanwhile:
        a compiler has crashed."""
        status = 0
        with self._lock:
            # One that had nothing to do may end just when it is asked.
            for _ in range(2):
                child = self._running()
                if child is None:
                    return None
                try:
                    return self._asked(child, request)
                except _GONE:
                    # Python ends. So does this thread, at once: its frames would hold on to an engine.
                    if is_closing():
                        raise SystemExit from None
                    status = self._end()
                if status:
                    break
        reason = signal.Signals(-status).name if status < 0 else f"status {status}"
        raise EngineError(f"{request.engine}: the compiler crashed ({reason})")

    def _running(self) -> subprocess.Popen[bytes] | None:
        """The process; None where it cannot be started."""
        if self._owner != os.getpid():
            self._child = None
        # One that had nothing to do has ended.
        if self._child is not None and self._child.poll() is not None:
            self._end()
        if self._child is None and not self._cannot_start:
            try:
                self._child = self._started()
            except _GONE:
                self._cannot_start = True
        return self._child

    def _started(self) -> subprocess.Popen[bytes]:
        """Start it. Raises EOFError or OSError where Python is another program's, say."""
        folder = str(Path(bridge.__path__[0]).parent)
        path = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))
        child = subprocess.Popen(
            [sys.executable, *self._command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )
        self._owner = os.getpid()
        with ended_at_exit(partial(_stop, child)):
            try:
                if receive(cast(BinaryIO, child.stdout)) != READY:
                    raise EOFError
            except _GONE:
                child.kill()
                raise
        # A process that ends for want of work would stay a zombie until it is asked again.
        threading.Thread(target=child.wait, name="bridge-compiler-end", daemon=True).start()
        return child

    @staticmethod
    def _asked(child: subprocess.Popen[bytes], request: Request) -> Reply:
        with ended_at_exit(partial(_stop, child)):
            send(request, cast(BinaryIO, child.stdin))
            return receive(cast(BinaryIO, child.stdout))

    def _end(self) -> int:
        """Forget the process; the status that it ended with."""
        child, self._child = self._child, None
        assert child is not None
        for stream in filter(None, (child.stdin, child.stdout)):
            with suppress(OSError):
                stream.close()
        with suppress(subprocess.TimeoutExpired):
            child.wait(1)
        child.kill()
        return child.wait()


def _stop(child: subprocess.Popen[bytes]) -> None:
    """End it, and by that what it has started; at once where a compiler does not let go."""
    child.terminate()
    try:
        child.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()


background_compiler = BackgroundCompiler()
