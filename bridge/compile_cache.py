"""Compiled code on disk, shared by all artifacts and processes of one user.

An entry is a file `<name>.compiled` in one folder: a mark, a signature, and the engine's binary. Its name is
the digest of all that the binary depends on. So an entry never changes; an equal one may replace it. A
damaged entry, or one of another user, is machine code of unknown origin: it is removed, never run.

    BRIDGE_CACHE_DIR     the folder; else $XDG_CACHE_HOME/bridge, else ~/.cache/bridge
    BRIDGE_CACHE_BYTES   how much may be kept (default 2 GiB); 0 switches the cache off

A variable that is empty counts as not set. Where the folder cannot be made, read or written, nothing is kept
and nothing reported.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from bridge import signing
from bridge.errors import UsageError
from lowering.host.drafts import draft_file, remove_abandoned, remove_file

DEFAULT_BYTES = 2 << 30
# Looking through the folder, which each new entry takes, stays at tens of milliseconds.
MAX_ENTRIES = 4096

_MAGIC = b"BRIDGEC1"
_SIGNATURE_BYTES = 64
_HEAD_BYTES = len(_MAGIC) + _SIGNATURE_BYTES
_ENTRY = re.compile(r"[0-9a-f]{64}\.compiled")
_DRAFT = re.compile(r"\.[0-9a-f]{64}\.compiled\.[0-9a-f]{16}")
# A link is not followed; and to open a pipe that has no writer would wait for one.
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Usage(NamedTuple):
    """How many entries there are, and their size in bytes."""

    entries: int
    bytes: int


class _File(NamedTuple):
    """A file of ours in the folder. `used`: when it was last written or read, in nanoseconds."""

    used: int
    name: str
    bytes: int


def open_cache() -> CompileCache:
    """The cache that the environment asks for; nothing is read or made yet.

    Raises UsageError for a variable that means nothing.
    """
    return CompileCache(_folder(), _limit())


@dataclass(frozen=True, slots=True)
class CompileCache:
    """Binaries by key. `folder`: None where a folder has no place; `limit`: in bytes, 0 for off.

    Safe between threads and processes: an entry appears whole or not at all.
    """

    folder: Path | None
    limit: int

    def get(self, key: str) -> bytes | None:
        """The binary that was kept under this key, now the last one used; None if there is none."""
        path = self._path(key)
        if path is None:
            return None
        try:
            with open(os.open(path, _READ), "rb") as stream:
                code = _checked(stream, path.name)
                if code is not None:
                    with suppress(OSError):  # a folder that is read-only
                        os.utime(stream.fileno())
        except OSError:
            return None
        if code is None:
            remove_file(path)
        return code

    def put(self, key: str, code: bytes) -> None:
        """Keep a binary; the entries unused for longest go where there are too many."""
        path = self._path(key)
        if path is None or _HEAD_BYTES + len(code) > self.limit:
            return
        signature = signing.sign(_signed(path.name, code))
        if not signature:
            return
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with draft_file(path, 0o600) as (draft, stream):
                stream.write(_MAGIC + signature.encode())
                stream.write(code)
                stream.flush()
                os.replace(draft, path)
            self._make_room()
        except OSError:
            return

    def drop(self, key: str) -> None:
        """Forget a binary, for instance one that does not load."""
        path = self._path(key)
        if path is not None:
            remove_file(path)

    def usage(self) -> Usage:
        """The usage of the folder. Raises OSError where it cannot be read."""
        sizes = [file.bytes for file in self._files(_ENTRY)]
        return Usage(len(sizes), sum(sizes))

    def clear(self) -> Usage:
        """Remove everything; gives the usage before. Raises OSError where that cannot be done."""
        found = self.usage()
        for pattern in (_ENTRY, _DRAFT):
            for file in self._files(pattern):
                assert self.folder is not None
                (self.folder / file.name).unlink(missing_ok=True)
        return found

    def _path(self, key: str) -> Path | None:
        """Where a key's entry is, the cache being on. The key itself never becomes part of a path."""
        if self.folder is None or not self.limit:
            return None
        return self.folder / (hashlib.sha256(key.encode()).hexdigest() + ".compiled")

    def _files(self, pattern: re.Pattern[str]) -> Iterator[_File]:
        """The files of this user whose names fit; others may come and go meanwhile."""
        if self.folder is None:
            return
        try:
            scan = os.scandir(self.folder)
        except FileNotFoundError:
            return
        with scan:
            for item in scan:
                if not pattern.fullmatch(item.name):
                    continue
                with suppress(FileNotFoundError):
                    found = item.stat(follow_symlinks=False)
                    if stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid():
                        yield _File(found.st_mtime_ns, item.name, found.st_size)

    def _make_room(self) -> None:
        """Remove what was abandoned half written, and as many entries as there are too many."""
        assert self.folder is not None
        for draft in self._files(_DRAFT):
            remove_abandoned(self.folder / draft.name[1:].rpartition(".")[0], remove_file)
        files = sorted(self._files(_ENTRY))
        count, total = len(files), sum(file.bytes for file in files)
        for file in files:
            if total <= self.limit and count <= MAX_ENTRIES:
                return
            remove_file(self.folder / file.name)
            count, total = count - 1, total - file.bytes


def _checked(stream: BinaryIO, name: str) -> bytes | None:
    """The binary in an entry; None for one that is damaged, or that others have or could have written."""
    found = os.fstat(stream.fileno())
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        return None
    head = stream.read(_HEAD_BYTES)
    if len(head) != _HEAD_BYTES or not head.startswith(_MAGIC):
        return None
    code = stream.read()
    signature = head[len(_MAGIC) :].decode("ascii", "replace")
    return code if signing.is_ours(_signed(name, code), signature) else None


def _signed(name: str, code: bytes) -> dict[str, str]:
    """The signed bytes. The name is none that a file of an artifact has."""
    return {f"cache/{name}": hashlib.sha256(code).hexdigest()}


def _folder() -> Path | None:
    own = os.environ.get("BRIDGE_CACHE_DIR", "")
    if own:
        if not os.path.isabs(own):
            raise UsageError(f"BRIDGE_CACHE_DIR is {own!r}; give the absolute path of a folder")
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):
        return Path(base) / "bridge"
    try:
        return Path.home() / ".cache" / "bridge"
    except RuntimeError:  # no home
        return None


def _limit() -> int:
    text = os.environ.get("BRIDGE_CACHE_BYTES", "")
    if not re.fullmatch("[0-9]{0,18}", text):
        raise UsageError(f"BRIDGE_CACHE_BYTES is {text!r}; give a number of bytes, 0 to switch the cache off")
    return int(text) if text else DEFAULT_BYTES
