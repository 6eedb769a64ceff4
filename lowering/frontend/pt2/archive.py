"""A `.pt2` file as a zip: which entries there are, its documents, and where each payload's bytes lie.

The file is untrusted. Nothing is extracted or unpickled; documents are bounded in size; a payload is only
located, by its local header, and checked to lie within the file.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from lowering.frontend.pt2.errors import ArchiveError
from lowering.ir.weights import Storage

# A document of 256 MiB holds a graph of about 100,000 nodes with their stack traces.
MAX_DOCUMENT = 256 << 20
MAX_ENTRIES = 1_000_000
# A compressed payload may grow this much, or to this size, when it is read into memory.
MAX_RATIO = 100
MAX_INFLATED = 64 << 20

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_ENCRYPTED = 0x1

# Everything that zipfile and zlib raise on damaged input.
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error)
_BAD = (*_ZIP_ERRORS, OSError, ValueError, OverflowError, KeyError)

# What a file is that has one of these at its top, and what to do about it.
_OTHER_FORMATS = {
    "serialized_exported_program.json": "an exported program of torch 2.8 or earlier: "
    "load it there and save it with torch 2.9 or later",
    "constants.pkl": "a TorchScript file: export the module with torch.export",
    "data.pkl": "a pickle of torch.save: export the module with torch.export and use torch.export.save",
}


class Archive:
    """An open `.pt2`. Use as a context manager; storages it has given out outlive it."""

    def __init__(self, path: str | Path, model: str | None = None) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise ArchiveError(path, "no such file")
        if not self.path.is_file():
            raise ArchiveError(path, "this is a directory, not a .pt2 file")
        try:
            self._file = open(self.path, "rb")  # noqa: SIM115 - closed by __exit__
        except OSError as problem:
            raise ArchiveError(path, f"cannot be read: {problem.strerror}") from None
        try:
            self._file_size = self._file.seek(0, io.SEEK_END)
            self._zip = self._open_zip()
            self._entries = self._index()
            self.model = self._choose(model)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _open_zip(self) -> zipfile.ZipFile:
        try:
            archive = zipfile.ZipFile(self._file)
            # A truncated file may end in the directory of its example inputs, an archive in the archive.
            if min((info.header_offset for info in archive.infolist()), default=0) == 0:
                return archive
        except _BAD:
            pass
        self._file.seek(0)
        if self._file.read(4) == b"PK\3\4":
            raise ArchiveError(self.path, "the file is damaged or truncated; copy or save it again")
        raise ArchiveError(self.path, "not a .pt2 file: torch.export.save writes a zip archive, this is none")

    def _index(self) -> dict[str, zipfile.ZipInfo]:
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
        self._check_format(entries)
        return entries

    def _check_format(self, entries: dict[str, zipfile.ZipInfo]) -> None:
        if not any(is_model(name) for name in entries):
            if any(name.startswith("data/aotinductor/") for name in entries):
                problem = "an AOTInductor package of compiled code: save the exported program itself instead"
                raise ArchiveError(self.path, problem)
            for name, what in _OTHER_FORMATS.items():
                if any(entry.rpartition("/")[2] == name for entry in entries):
                    raise ArchiveError(self.path, what)
            raise ArchiveError(self.path, "the archive has no models/*.json: this is no exported program")
        for name, known, what in (
            ("archive_format", "pt2", "archive format"),
            ("archive_version", "0", "archive version"),
            ("byteorder", "little", "byte order"),
        ):
            if name in entries:
                found = self._bytes(entries[name], name, 100).decode("ascii", "replace").strip()
                if found != known:
                    raise ArchiveError(self.path, f"the {what} is {found!r}; only {known!r} can be read")

    def _choose(self, model: str | None) -> str:
        names = [name[len("models/") : -len(".json")] for name in self._entries if is_model(name)]
        listed = ", ".join(sorted(names))
        if model is None:
            if len(names) > 1:
                raise ArchiveError(
                    self.path, f"the archive has several models ({listed}): choose one by name"
                )
            return names[0]
        if model not in names:
            raise ArchiveError(self.path, f"the archive has no model {model!r}; it has {listed}")
        return model

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def document(self, name: str) -> Any:
        """A JSON entry, decoded. `name` is below the root: `models/model.json`."""
        info = self._entries.get(name)
        if info is None:
            raise ArchiveError(self.path, f"the entry {name} is missing")
        data = self._bytes(info, name, MAX_DOCUMENT)
        try:
            return json.loads(data)
        except RecursionError:
            raise ArchiveError(self.path, f"{name} is nested too deeply") from None
        except ValueError as problem:
            raise ArchiveError(self.path, f"{name} is not JSON: {problem}") from None

    def _bytes(self, info: zipfile.ZipInfo, name: str, limit: int) -> bytes:
        """A whole entry, checksum checked. zipfile never gives more than the declared size."""
        if info.file_size > limit:
            raise ArchiveError(self.path, f"{name} has {info.file_size} bytes; {limit} are allowed")
        # zipfile makes room for as many bytes as the directory claims before it reads one.
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
        info = self._entries.get(name)
        if info is None:
            raise ArchiveError(self.path, f"the entry {name} is missing")
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
        return Storage(info.file_size, lambda: map_bytes(path, name, start, info.file_size))

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

        path = self.path.absolute()

        def inflate() -> np.ndarray:
            with Archive(path, self.model) as archive:
                return np.frombuffer(archive._bytes(info, name, info.file_size), np.uint8)

        return Storage(info.file_size, inflate)


def is_model(name: str) -> bool:
    """Whether an entry is a model's document: `models/<name>.json`."""
    return name.startswith("models/") and name.endswith(".json")


def map_bytes(path: Path, name: str, start: int, size: int) -> np.ndarray:
    """`size` bytes of a file from `start`, mapped, read-only. Raises `ArchiveError` if they are gone."""
    if size == 0:
        return np.empty(0, np.uint8)
    try:
        return np.asarray(np.memmap(path, np.uint8, "r", start, (size,)))
    except (OSError, ValueError) as problem:
        raise ArchiveError(path, f"cannot map {name}, the file has changed: {problem}") from None
