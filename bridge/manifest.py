"""The manifest of an artifact: which files it has, and that each is still what was written."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from bridge import signing
from bridge.errors import ArtifactError
from lowering.host.drafts import is_at
from lowering.host.weights import WeightError

FORMAT = 2
MANIFEST = "manifest.json"
# BERT-base takes less than one; and reading JSON takes twenty times its size in memory.
MAX_JSON_BYTES = 64 << 20

# Every file that an artifact may have. A manifest that names anything else, say `../x`, is not ours.
_WEIGHTS = "weights.irpa"
_REQUIRED = ("weights.json", _WEIGHTS)
#: The name of a method, of several in an artifact: a Python name.
METHOD = r"[A-Za-z_][A-Za-z0-9_]{0,63}"
_NAME = re.compile(
    rf"({METHOD}\.)?(program|functional|plan|modules|dynamic|buckets|tuning)\.json|weights\.(json|irpa)"
    rf"|modules/({METHOD}\.)?segment_[0-9]{{1,6}}(_at_[0-9]{{1,6}})?(_checks|_dynamic)?\.mlirbc"
    r"|binaries/[0-9a-f]{64}\.bin"
)
_FOLDERS = ("modules", "binaries")
# How often a folder may be replaced while it is looked at.
_ATTEMPTS = 256

# A link is not followed, and opening a pipe does not wait for who writes to it.
_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_FOLDER = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_DIRECTORY

# Larger files are hashed in chunks, in parallel: SHA-256 of one stream is slower than a disk.
_CHUNK = 8 << 20

# The errors of the readers for data that `save` did not write.
_BAD_DATA = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError, MemoryError,
    OSError, WeightError,
)  # fmt: skip

T = TypeVar("T")


def write_manifest(folder: Path, header: dict[str, Any], signed: bool) -> None:
    """Write the manifest of all files that are in the folder now. `signed`: whether they are this user's."""
    files = {name: {"bytes": path.stat().st_size, "digest": digest(path)} for name, path in _files(folder)}
    signature = signing.sign(_digests(files)) if signed else ""
    write_json(folder / MANIFEST, {"format": FORMAT, **header, "signature": signature, "files": files})


def _digests(files: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: row["digest"] for name, row in files.items()}


def write_json(file: Path, data: Any) -> None:
    """Write compact JSON. Raises ArtifactError for more than may be read back."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False) + "\n"
    encoded = text.encode("utf-8", "surrogatepass")
    if len(encoded) > MAX_JSON_BYTES:
        raise ArtifactError(f"{file.name} would have {len(encoded)} bytes, the limit is {MAX_JSON_BYTES}")
    file.write_bytes(encoded)


def digest_of(content: bytes) -> str:
    """SHA-256 of the content; of one longer than 8 MiB, of the SHA-256 digests of its chunks of 8 MiB."""
    return _digest(lambda start: content[start : start + _CHUNK], len(content))


def digest(file: Path) -> str:
    """The same of a file's content."""
    with file.open("rb", buffering=0) as stream:
        return digest_of_stream(stream)


def digest_of_stream(stream: FileIO | BinaryIO) -> str:
    """The same of an open file's content."""
    descriptor = stream.fileno()
    size = os.fstat(descriptor).st_size

    def chunk(start: int) -> bytes:
        content = os.pread(descriptor, _CHUNK, start)
        while len(content) < min(_CHUNK, size - start):
            more = os.pread(descriptor, _CHUNK - len(content), start + len(content))
            if not more:
                break
            content += more
        return content

    return _digest(chunk, size)


def _digest(chunk: Callable[[int], bytes], size: int) -> str:
    if size <= _CHUNK:
        return hashlib.sha256(chunk(0)).hexdigest()
    # Both reading and hashing let go of the interpreter's lock.
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        parts = pool.map(lambda start: hashlib.sha256(chunk(start)).digest(), range(0, size, _CHUNK))
        return hashlib.sha256(b"".join(parts)).hexdigest()


class Contents:
    """An artifact's folder, opened once: a folder that replaces it meanwhile does not mix with it.

    Every file is read once. Its bytes are checked against the manifest before anything else reads them.
    Within its context the weights are open, and checked meanwhile; leaving it waits for that. Raises
    ArtifactError, which names the file, for anything missing, damaged, or of another format.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._descriptor = _open_folder(folder)
        try:
            self.header = _read_header(folder, self._descriptor)
        except BaseException:
            self.close()
            raise
        self.files: dict[str, dict[str, Any]] = self.header["files"]
        self._unread = set(self.files) - {_WEIGHTS}

    def is_ours(self) -> bool:
        """Whether this user signed exactly these files."""
        return signing.is_ours(_digests(self.files), self.header.get("signature"))

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> Contents:
        self.weights = self._open(_WEIGHTS)
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._checked = self._pool.submit(self._check_weights)
        return self

    def __exit__(self, *_: object) -> None:
        """Damaged weights explain whatever else went wrong."""
        with self._pool, self.weights:
            self._checked.result()

    def was_replaced(self) -> bool:
        """Whether another folder, or none, is at the path by now."""
        return not is_at(self._descriptor, self.folder)

    def check_rest(self) -> None:
        """Check the files that nobody asked for."""
        for name in sorted(self._unread):
            self.read(name)

    def parse(self, name: str, reader: Callable[[Any], T]) -> T:
        """Read and parse a JSON file. Raises ArtifactError for data that does not fit."""
        if self.row(name)["bytes"] > MAX_JSON_BYTES:
            raise ArtifactError(f"{self.folder / name} has more than {MAX_JSON_BYTES} bytes")
        content = self.read(name)
        try:
            return reader(_parsed(content))
        except _BAD_DATA as error:
            raise ArtifactError(
                f"{self.folder / name} is not what this version writes: {_described(error)}"
            ) from error

    def read(self, name: str) -> bytes:
        """A file's bytes, which are those that the manifest says. One that it does not list is refused."""
        row = self.row(name)
        path = self.folder / name
        with self._open(name) as stream:
            self._check_size(stream, name)
            try:
                content = stream.read(row["bytes"] + 1)
            except OSError as error:
                raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error
        if digest_of(content) != row["digest"]:
            raise _damaged(path)
        self._unread.discard(name)
        return content

    def row(self, name: str) -> dict[str, Any]:
        """A file's `bytes` and `digest`. Raises ArtifactError where the manifest does not list it."""
        if name not in self.files:
            raise ArtifactError(f"{self.folder / MANIFEST} does not list {name}; lower the model again")
        return self.files[name]

    def _check_weights(self) -> None:
        self._check_size(self.weights, _WEIGHTS)
        if digest_of_stream(self.weights) != self.row(_WEIGHTS)["digest"]:
            raise _damaged(self.folder / _WEIGHTS)

    def _check_size(self, stream: BinaryIO, name: str) -> None:
        size, wanted = os.fstat(stream.fileno()).st_size, self.row(name)["bytes"]
        if size != wanted:
            raise ArtifactError(
                f"{self.folder / name} is damaged: it has {size} bytes, the manifest says {wanted}"
            )

    def _open(self, name: str) -> BinaryIO:
        return _open_file(self.folder, self._descriptor, name)


def _open_folder(folder: Path) -> int:
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ArtifactError(f"{folder} does not exist") from None
    except NotADirectoryError:
        raise ArtifactError(
            f"{folder} is a file, and an artifact is a folder; bridge.lower reads .pt2 files"
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ArtifactError(f"{folder} cannot be read: {reason}") from error


def _open_file(folder: Path, descriptor: int, name: str) -> BinaryIO:
    """A file inside an opened folder, and no link out of it."""
    path = folder / name
    above, _, own = name.rpartition("/")
    try:
        if above:
            inner = os.open(above, _FOLDER, dir_fd=descriptor)
            try:
                found = os.open(own, _FILE, dir_fd=inner)
            finally:
                os.close(inner)
        else:
            found = os.open(own, _FILE, dir_fd=descriptor)
    except FileNotFoundError:
        raise ArtifactError(f"{path} is missing; lower the model again") from None
    except OSError as error:
        if path.is_symlink() or path.parent.is_symlink():
            raise ArtifactError(
                f"{path} is or lies behind a symbolic link, which an artifact never has"
            ) from None
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(found).st_mode):
        os.close(found)
        raise ArtifactError(f"{path} is not a file; lower the model again")
    return os.fdopen(found, "rb")


def _damaged(path: Path) -> ArtifactError:
    return ArtifactError(f"{path} is damaged: its checksum is not the manifest's; lower it again")


def strange_entry(folder: Path) -> str | None:
    """The name of an entry of the folder that does not belong to an artifact; None where all belong.

    The manifest itself, where it is missing or is not an artifact's.
    """
    for _ in range(_ATTEMPTS):
        try:
            descriptor = _open_folder(folder)
        except ArtifactError:
            break
        try:
            strange = _strange_entry(folder, descriptor)
            # Else another artifact took its place meanwhile, and this one is being removed.
            if strange is None or is_at(descriptor, folder):
                return strange
        finally:
            os.close(descriptor)
    return MANIFEST


def _strange_entry(folder: Path, descriptor: int) -> str | None:
    try:
        header = _read_header(folder, descriptor)
    except ArtifactError:
        return MANIFEST
    listed = {MANIFEST, *header["files"]}
    return next((name for name in _entries(descriptor) if name not in listed), None)


def discard(folder: Path) -> None:
    """Remove an artifact's folder, or a half-written one; one with anything else in it stays as it is."""
    try:
        descriptor = os.open(folder, _FOLDER)
    except OSError:
        return
    try:
        names = _entries(descriptor)
        if any(name != MANIFEST and not _NAME.fullmatch(name) for name in names):
            return
        # The manifest goes first: without it, the rest does not pass for an artifact.
        for name in sorted(names, key=lambda name: name != MANIFEST):
            with suppress(OSError):
                os.unlink(name, dir_fd=descriptor)
        for inner in _FOLDERS:
            with suppress(OSError):
                os.rmdir(inner, dir_fd=descriptor)
    finally:
        os.close(descriptor)
    with suppress(OSError):
        folder.rmdir()


def _entries(descriptor: int) -> list[str]:
    """The entries of an artifact's folder, as its manifest names files; other folders by their name."""
    found: list[str] = []
    for name in sorted(os.listdir(descriptor)):
        try:
            inner = os.open(name, _FOLDER, dir_fd=descriptor) if name in _FOLDERS else None
        except OSError:
            inner = None
        if inner is None:
            found.append(name)
            continue
        found += [f"{name}/{own}" for own in sorted(os.listdir(inner))]
        os.close(inner)
    return found


def _read_header(folder: Path, descriptor: int) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        stream = _open_file(folder, descriptor, MANIFEST)
    except ArtifactError:
        raise ArtifactError(
            f"{folder} is not an artifact: it has no {MANIFEST}; make one with `lower`"
        ) from None
    try:
        with stream:
            header = _parsed(stream.read(MAX_JSON_BYTES + 1))
    except _BAD_DATA as error:
        raise ArtifactError(f"{path} is damaged: {_described(error)}; lower the model again") from error
    if not isinstance(header, dict) or type(header.get("format")) is not int:
        raise ArtifactError(f"{path} is not the manifest of an artifact")
    if header["format"] != FORMAT:
        raise ArtifactError(
            f"{path} says format {header['format']}, this version reads {FORMAT}; lower the model again"
        )
    files = header.get("files")
    if not isinstance(files, dict) or not all(map(_is_row, files.values())):
        raise ArtifactError(f"{path} lists no files; lower the model again")
    for name in files:
        if not _NAME.fullmatch(name):
            raise ArtifactError(f"{path} names {name!r}, which is not a file of an artifact")
    for name in _REQUIRED:
        if name not in files:
            raise ArtifactError(f"{path} does not list {name}; lower the model again")
    return header


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and type(row.get("bytes")) is int and isinstance(row.get("digest"), str)


def _parsed(content: bytes) -> Any:
    if len(content) > MAX_JSON_BYTES:
        raise ValueError(f"it has more than {MAX_JSON_BYTES} bytes")
    return json.loads(content.decode("utf-8", "surrogatepass"))


def _described(error: BaseException) -> str:
    if isinstance(error, KeyError):
        return f"it has no {error}"
    return " ".join(str(error).split()) or type(error).__name__


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    found = ((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if path.is_file())
    return iter(sorted(found))
