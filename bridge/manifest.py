"""The manifest of an artifact: which files it has, and that each is still what was written."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from bridge.errors import ArtifactError
from runtime.weights import WeightError

FORMAT = 1
MANIFEST = "manifest.json"
# BERT-base takes less than one; and reading JSON takes twenty times its size in memory.
MAX_JSON_BYTES = 64 << 20

# Every file that an artifact may have. A manifest that names anything else, say `../x`, is not ours.
_WEIGHTS = "weights.irpa"
_REQUIRED = ("program.json", "plan.json", "modules.json", "weights.json", _WEIGHTS)
_NAME = re.compile(
    r"(program|functional|plan|modules|weights|tuning)\.json|weights\.irpa"
    r"|modules/segment_[0-9]{1,6}(_checks)?\.mlirbc|binaries/[0-9a-f]{64}\.bin"
)

# Larger files are hashed in chunks, in parallel: SHA-256 of one stream is slower than a disk.
_CHUNK = 8 << 20

# What a reader of ours raises for data that is not as we write it.
_BAD_DATA = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError, MemoryError,
    OSError, WeightError,
)  # fmt: skip

T = TypeVar("T")


def write_manifest(folder: Path, header: dict[str, Any]) -> None:
    """Write the manifest of all files that are in the folder now."""
    files = {name: {"bytes": path.stat().st_size, "digest": digest(path)} for name, path in _files(folder)}
    write_json(folder / MANIFEST, {"format": FORMAT, **header, "files": files})


def write_json(file: Path, data: Any) -> None:
    """Write compact JSON. Raises ArtifactError for more than may be read back."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False) + "\n"
    encoded = text.encode("utf-8", "surrogatepass")
    if len(encoded) > MAX_JSON_BYTES:
        raise ArtifactError(f"{file.name} would have {len(encoded)} bytes, the limit is {MAX_JSON_BYTES}")
    file.write_bytes(encoded)


def digest(file: Path) -> str:
    """SHA-256 of the file; of one longer than 8 MiB, of the SHA-256 digests of its chunks of 8 MiB."""
    with file.open("rb", buffering=0) as stream:
        size = os.fstat(stream.fileno()).st_size

        def chunk(start: int) -> bytes:
            content = os.pread(stream.fileno(), _CHUNK, start)
            while len(content) < min(_CHUNK, size - start):
                more = os.pread(stream.fileno(), _CHUNK - len(content), start + len(content))
                if not more:
                    break
                content += more
            return hashlib.sha256(content).digest()

        if size <= _CHUNK:
            return chunk(0).hex()
        # Both reading and hashing let go of the interpreter's lock.
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            return hashlib.sha256(b"".join(pool.map(chunk, range(0, size, _CHUNK)))).hexdigest()


class Contents:
    """An artifact's folder, opened: nothing of it is used before it is checked against the manifest.

    The weights are checked meanwhile, and leaving the context waits for it. Raises ArtifactError, which names
    the file, for anything missing, damaged, or of another format.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.header = _read_header(folder)
        self.files: dict[str, dict[str, Any]] = self.header["files"]
        for name, row in self.files.items():
            if name != _WEIGHTS:
                self._check(name, row)

    def __enter__(self) -> Contents:
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._weights = self._pool.submit(self._check, _WEIGHTS, self.files[_WEIGHTS])
        return self

    def __exit__(self, *_: object) -> None:
        """Damaged weights explain whatever else went wrong."""
        with self._pool:
            self._weights.result()

    def _check(self, name: str, row: dict[str, Any]) -> None:
        """The file is there, inside the folder, of its size, with its digest."""
        path = self.folder / name
        inner = (path, path.parent) if path.parent != self.folder else (path,)
        if any(part.is_symlink() for part in inner):
            raise ArtifactError(f"{path} is or lies behind a symbolic link, which an artifact never has")
        if not path.is_file():
            raise ArtifactError(f"{path} is missing; lower the model again")
        try:
            size, found = path.stat().st_size, None
            if size == row["bytes"]:
                found = digest(path)
        except OSError as error:
            raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error
        if found is None:
            raise ArtifactError(f"{path} is damaged: it has {size} bytes, the manifest says {row['bytes']}")
        if found != row["digest"]:
            raise ArtifactError(f"{path} is damaged: its checksum is not the manifest's; lower it again")

    def parse(self, name: str, reader: Callable[[Any], T]) -> T:
        """Read a JSON file and make sense of it; what does not fit is an ArtifactError, the file's fault."""
        path = self.folder / name
        try:
            return reader(_read_json(path))
        except _BAD_DATA as error:
            raise ArtifactError(f"{path} is not what this version writes: {_described(error)}") from error

    def read(self, name: str) -> bytes:
        """A file's bytes. One that the manifest does not list was never checked, and is refused."""
        self.row(name)
        return (self.folder / name).read_bytes()

    def row(self, name: str) -> dict[str, Any]:
        """A file's `bytes` and `digest`. Raises ArtifactError where the manifest does not list it."""
        if name not in self.files:
            raise ArtifactError(f"{self.folder / MANIFEST} does not list {name}; lower the model again")
        return self.files[name]


def _read_header(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not folder.exists():
        raise ArtifactError(f"{folder} does not exist")
    if not folder.is_dir():
        raise ArtifactError(f"{folder} is a file, and an artifact is a folder; bridge.lower reads .pt2 files")
    if not path.is_file() or path.is_symlink():
        raise ArtifactError(f"{folder} is no artifact: it has no {MANIFEST}; make one with `lower`")
    try:
        header = _read_json(path)
    except _BAD_DATA as error:
        raise ArtifactError(f"{path} is damaged: {_described(error)}; lower the model again") from error
    if not isinstance(header, dict) or type(header.get("format")) is not int:
        raise ArtifactError(f"{path} is no manifest of an artifact")
    if header["format"] != FORMAT:
        raise ArtifactError(
            f"{path} says format {header['format']}, this version reads {FORMAT}; lower the model again"
        )
    files = header.get("files")
    if not isinstance(files, dict) or not all(map(_is_row, files.values())):
        raise ArtifactError(f"{path} lists no files; lower the model again")
    for name in files:
        if not _NAME.fullmatch(name):
            raise ArtifactError(f"{path} names {name!r}, which is no file of an artifact")
    for name in _REQUIRED:
        if name not in files:
            raise ArtifactError(f"{path} does not list {name}; lower the model again")
    return header


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and type(row.get("bytes")) is int and isinstance(row.get("digest"), str)


def _read_json(file: Path) -> Any:
    with file.open("rb") as stream:
        content = stream.read(MAX_JSON_BYTES + 1)
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
