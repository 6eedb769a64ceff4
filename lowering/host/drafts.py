"""Drafts: files and folders that are being written, beside their place and locked by who writes them.

A reader never sees a draft; it is renamed once it is whole. A draft whose writer was killed is nobody's: the
lock ended with the process. The next writer of the same place removes it.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

# A link is not followed, and opening a pipe does not wait for who writes to it.
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_ATTEMPTS = 16
# How often, and how long, a lock is waited for that another writer holds while it replaces.
_WAITS = 5000
_WAIT_S = 0.002


@contextmanager
def draft_file(target: Path, mode: int = 0o666) -> Iterator[tuple[Path, BinaryIO]]:
    """A new file beside `target`, open for writing; removed at the end unless it was renamed.

    Raises OSError where it cannot be made.
    """
    remove_abandoned(target, remove_file)
    path, lock = _locked(target, lambda path: os.open(path, _CREATE, mode))
    try:
        with os.fdopen(lock, "wb") as stream:
            yield path, stream
    finally:
        remove_file(path)


@contextmanager
def draft_folder(target: Path, discard: Callable[[Path], None], mode: int = 0o777) -> Iterator[Path]:
    """A new folder beside `target`, which `discard` gets at the end; it may be another one by then, or none.

    Raises OSError where it cannot be made.
    """
    remove_abandoned(target, discard)
    path, lock = _locked(target, lambda path: _new_folder(path, mode))
    try:
        yield path
    finally:
        os.close(lock)
        discard(path)


@contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """A new folder for temporary files that only this user reads, removed at the end with all that it has.

    Drafts of the same name that killed processes left are removed too. Raises OSError where it cannot be
    made.
    """
    with draft_folder(Path(tempfile.gettempdir(), name), _remove_folder, 0o700) as folder:
        yield folder


def remove_abandoned(target: Path, discard: Callable[[Path], None]) -> None:
    """Let `discard` remove each draft of `target` whose writer is gone."""
    for path in abandoned(target):
        discard(path)


def abandoned(target: Path) -> Iterator[Path]:
    """The drafts of `target` whose writer is gone, each locked until the next is asked for."""
    for path in drafts_of(target):
        try:
            lock = os.open(path, _OPEN)
        except OSError:
            continue
        try:
            if _lock(lock) and is_at(lock, path):
                yield path
        finally:
            os.close(lock)


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """The lock of what is at `path`, waited for; False where it is another thing by then.

    Raises OSError where nothing is there, or it cannot be opened.
    """
    lock = os.open(path, _OPEN)
    try:
        for _ in range(_WAITS):
            if _lock(lock, without=True):
                break
            time.sleep(_WAIT_S)
        yield is_at(lock, path)
    finally:
        os.close(lock)


def drafts_of(target: Path) -> list[Path]:
    """The files and folders of this user beside `target` that have a draft's name."""
    name = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{16}}")
    found: list[Path] = []
    with suppress(OSError), os.scandir(target.parent) as entries:
        for entry in entries:
            if not name.fullmatch(entry.name):
                continue
            with suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                plain = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
                if plain and status.st_uid == os.getuid():
                    found.append(Path(entry.path))
    return sorted(found)


def _locked(target: Path, make: Callable[[Path], int]) -> tuple[Path, int]:
    """A new draft and its descriptor, which holds its lock."""
    for _ in range(_ATTEMPTS):
        path = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
        try:
            descriptor = make(path)
        except FileNotFoundError:
            if not path.parent.exists():
                raise
            continue
        # Between making and locking it, another process may have taken it for abandoned.
        if _lock(descriptor, without=True) and is_at(descriptor, path):
            return path, descriptor
        os.close(descriptor)
    raise OSError("other processes keep removing what is being written")


def _new_folder(path: Path, mode: int) -> int:
    path.mkdir(mode)
    return os.open(path, _OPEN | os.O_DIRECTORY)


def _lock(descriptor: int, without: bool = False) -> bool:
    """Take the lock; False where another has it. `without`: the answer where the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return without
    return True


def is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file or folder is the one at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def remove_file(path: Path) -> None:
    """Remove a file, if that is possible."""
    with suppress(OSError):
        path.unlink()


def _remove_folder(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
