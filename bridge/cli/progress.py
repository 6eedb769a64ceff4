"""Progress on standard error: a line that changes on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bridge.progress import LOG, listening, part

# Work that is over by then is not worth a line in a pipe, and the next line follows after as many seconds.
_FIRST, _NEXT = 0.5, 15.0

_quiet = False


def set_up(quiet: bool, verbose: bool) -> None:
    """Follow `--quiet` and `--verbose`: no progress, or the log of every part."""
    global _quiet
    _quiet = quiet or verbose
    if verbose:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        LOG.handlers[:] = [handler]
        LOG.setLevel(logging.INFO)


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show what takes its time, its part and the seconds since its start, on standard error."""
    if _quiet:
        with part(what):
            yield
        return
    shown = _OnTerminal(what) if sys.stderr.isatty() else _InPipe(what)
    with shown, listening(shown.begin), part(what):
        yield


class _Shown:
    """Work and the part of it that is at hand, shown again and again by a thread of its own."""

    first, following = 0.0, 1.0

    def __init__(self, what: str) -> None:
        self.what, self.part = what, ""
        self._start = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begin(self, text: str) -> None:
        self.part = "" if text == self.what else text

    def text(self) -> str:
        seconds = time.monotonic() - self._start
        return f"{self.what}{f': {self.part}' if self.part else ''}, {seconds:.0f} s"

    def show(self) -> None:
        raise NotImplementedError

    def _run(self) -> None:
        wait = self.first
        while not self._over.wait(wait):
            self.show()
            wait = self.following

    def __enter__(self) -> _Shown:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


class _InPipe(_Shown):
    """Plain lines: one soon after the start, the next when some time is over."""

    first, following = _FIRST, _NEXT

    def show(self) -> None:
        print(f"bridge: {self.text()}", file=sys.stderr, flush=True)


class _OnTerminal(_Shown):
    """A spinner with the same text."""

    def __enter__(self) -> _Shown:
        from rich.console import Console
        from rich.markup import escape

        self._escape = escape
        self._status = Console(stderr=True).status(escape(self.what))
        self._status.start()
        return super().__enter__()

    def show(self) -> None:
        self._status.update(self._escape(self.text()))

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._status.stop()
