"""A zip file whose large entries are located and mapped rather than read.

The file is untrusted. Nothing is extracted. Entries that are read are bounded in size. An entry that is
mapped is located by its local header, and checked to lie within the file.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lowering.frontend.errors import ArchiveError
from lowering.ir.weights import FilePart, Storage

MAX_ENTRIES = 1_000_000
# A compressed entry may grow this much, or to this size, when it is read into memory.
MAX_RATIO = 100
MAX_INFLATED = 64 << 20

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_ENCRYPTED = 0x1

# Everything that zipfile and zlib raise on damaged input.
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error)
_BAD = (*_ZIP_ERRORS, OSError, ValueError, OverflowError, KeyError)


class MappedZip:
    """An open zip file. Use as a context manager; storages it has given out outlive it.

    `expected`: the expected kind of file, as `a .pt2 file`; `writer`: the writer of such files. Raises
    ArchiveError.
    """

    def __init__(self, path: str | Path, expected: str, writer: str) -> None:
        self.path = Path(path)
        self._expected, self._writer = expected, writer
        if not self.path.exists():
            raise ArchiveError(path, "no such file")
        if not self.path.is_file():
            raise ArchiveError(path, f"this is a directory, not {expected}")
        try:
            self._file = open(self.path, "rb")  # noqa: SIM115 - closed by __exit__
        except OSError as problem:
            raise ArchiveError(path, f"cannot be read: {problem.strerror}") from None
        try:
            self._file_size = self._file.seek(0, io.SEEK_END)
            self._zip = self._open_zip()
            self._entries = self._index()
            self._check()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _check(self) -> None:
        """Raise ArchiveError where the entries are not those of such a file."""

    def _open_zip(self) -> zipfile.ZipFile:
        try:
            archive = zipfile.ZipFile(self._file)
            # A truncated file may end in the directory of an archive in the archive.
            if min((info.header_offset for info in archive.infolist()), default=0) == 0:
                return archive
        except _BAD:
            pass
        self._file.seek(0)
        if self._file.read(4) == b"PK\3\4":
            raise ArchiveError(self.path, "the file is damaged or truncated; copy or save it again")
        raise ArchiveError(
            self.path, f"not {self._expected}: {self._writer} writes a zip archive, this is none"
        )

    def _index(self) -> Mapping[str, zipfile.ZipInfo]:
        """Entries by their name below the archive's root folder, which is that of the first entry."""
        infos = self._zip.infolist()
        if not infos:
            raise ArchiveError(self.path, "the archive is empty")
        if len(infos) > MAX_ENTRIES:
            raise ArchiveError(self.path, f"the archive has {len(infos)} entries; {MAX_ENTRIES} are allowed")
        root = infos[0].filename.partition("/")[0] + "/"
        entries: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            name = info.filename.removeprefix(root)
            if name in entries:
                raise ArchiveError(self.path, f"the archive has two entries {name!r}")
            entries[name] = info
        return entries

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def content(self, name: str, limit: int) -> bytes:
        """A whole entry, checksum checked, of `limit` bytes at most. `name` is below the root."""
        info = self._info(name)
        if info.file_size > limit:
            raise ArchiveError(self.path, f"{name} has {info.file_size} bytes; {limit} are allowed")
        # zipfile makes room for as many bytes as the directory claims before it reads one, and never more.
        if info.compress_size > self._file_size:
            raise ArchiveError(self.path, f"{name} is damaged: it claims more bytes than the file has")
        try:
            data = self._zip.read(info)
        except _BAD as problem:
            raise ArchiveError(self.path, f"{name} is damaged: {problem}") from None
        if len(data) != info.file_size:
            raise ArchiveError(self.path, f"{name} is damaged: it is shorter than the archive says")
        return data

    def storage(self, name: str) -> Storage:
        """The bytes of an entry, not yet read. `open` maps them if they are stored plainly, or inflates."""
        info = self._info(name)
        if info.flag_bits & _ENCRYPTED:
            raise ArchiveError(self.path, f"{name} is encrypted")
        if info.compress_type != zipfile.ZIP_STORED:
            return self._inflated(info, name)
        if info.compress_size != info.file_size:
            raise ArchiveError(self.path, f"{name} is damaged: it has two sizes")
        start = self._data_offset(info, name)
        if start + info.file_size > self._file_size:
            raise ArchiveError(self.path, f"{name} reaches beyond the end of the file, which is truncated")
        path = self.path.absolute()
        size = info.file_size
        return Storage(size, lambda: map_bytes(path, name, start, size), part=FilePart(path, start))

    def _info(self, name: str) -> zipfile.ZipInfo:
        info = self._entries.get(name)
        if info is None:
            raise ArchiveError(self.path, f"the entry {name} is missing")
        return info

    def _data_offset(self, info: zipfile.ZipInfo, name: str) -> int:
        """Where the data begins: after the local header, whose extra field differs from the directory's."""
        try:
            self._file.seek(info.header_offset)
            magic, name_length, extra_length = _LOCAL_HEADER.unpack(self._file.read(_LOCAL_HEADER.size))
        except (OSError, ValueError, struct.error):
            magic, name_length, extra_length = b"", 0, 0
        if magic != b"PK\3\4":
            raise ArchiveError(self.path, f"{name} is damaged: the archive does not say where it begins")
        return info.header_offset + _LOCAL_HEADER.size + name_length + extra_length

    def _inflated(self, info: zipfile.ZipInfo, name: str) -> Storage:
        if info.file_size > max(MAX_INFLATED, MAX_RATIO * info.compress_size):
            sizes = f"from {info.compress_size} to {info.file_size} bytes"
            raise ArchiveError(self.path, f"{name} claims to grow {sizes}: save it uncompressed")
        path, expected, writer = self.path.absolute(), self._expected, self._writer

        def inflate() -> np.ndarray:
            with MappedZip(path, expected, writer) as archive:
                return np.frombuffer(archive.content(name, info.file_size), np.uint8)

        return Storage(info.file_size, inflate)


def map_bytes(path: Path, name: str, start: int, size: int) -> np.ndarray:
    """`size` bytes of a file from `start`, mapped, read-only. Raises `ArchiveError` if they are gone."""
    if size == 0:
        return np.empty(0, np.uint8)
    try:
        return np.asarray(np.memmap(path, np.uint8, "r", start, (size,)))
    except (OSError, ValueError) as problem:
        raise ArchiveError(path, f"cannot map {name}, the file has changed: {problem}") from None
