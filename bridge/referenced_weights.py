"""Weights that an artifact has in other files: those that were lowered, by path, size and digest."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bridge.errors import ArtifactError, UsageError
from bridge.manifest import digest, digest_of_stream
from lowering.ir.weights import FilePart, Storage, Weights

#: The ways to save weights: a copy in the artifact, or a reference to the file that they were read from.
COPY, REFERENCE = "copy", "reference"
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


def saved_as(weights: Weights, way: str) -> Weights:
    """The weights, for an artifact to copy or to refer to. Raises UsageError for another way, and where a
    weight is not in a file as it is."""
    if way not in (COPY, REFERENCE):
        raise UsageError(f"weights are saved as {COPY!r} or {REFERENCE!r}, not {way!r}")
    if way == REFERENCE:
        for name, view in weights.views.items():
            storage = weights.storages[view.storage]
            if storage.part is None and storage.nbytes and not storage.absent:
                raise UsageError(
                    f"the weight {name!r} is not in a file as it is, which nothing can refer to; save a copy"
                )
    refers = way == REFERENCE
    return Weights({key: replace(s, refers=refers) for key, s in weights.storages.items()}, weights.views)


class Files:
    """The files that an artifact's weights are in, as they are written: `[path, bytes, digest]` each."""

    def __init__(self) -> None:
        self._places: dict[Path, int] = {}

    def entry(self, storage: Storage) -> list[int] | None:
        """The place of a storage: file, first byte, count of bytes; None for one to copy."""
        if not storage.refers or storage.part is None:
            return None
        place = self._places.setdefault(storage.part.path, len(self._places))
        return [place, storage.part.start, storage.nbytes]

    def rows(self) -> list[list[Any]]:
        return [[str(path), path.stat().st_size, digest(path)] for path in self._places]


def open_files(rows: Any) -> list[tuple[Path, np.ndarray]]:
    """The files of these rows, mapped, each as it was. Raises ArtifactError; ValueError for strange rows."""
    if not isinstance(rows, list):
        raise ValueError("it has no list of files")
    return [_open(*_row(row)) for row in rows]


def storage_of(files: Sequence[tuple[Path, np.ndarray]], entry: Any) -> tuple[str, Storage]:
    """The storage at a place, and a key for it. Raises ValueError for a place that is not in the files."""
    if not isinstance(entry, list) or len(entry) != 3 or not all(type(n) is int and n >= 0 for n in entry):
        raise ValueError(f"{entry!r:.200} is not a place in a file")
    index, start, nbytes = entry
    if index >= len(files) or start + nbytes > files[index][1].nbytes:
        raise ValueError(f"{entry!r:.200} is not a place in a file")
    path, raw = files[index]
    part = raw[start : start + nbytes]
    return f"file/{index}/{start}/{nbytes}", Storage(
        nbytes, lambda: part, part=FilePart(path, start), refers=True
    )


def _row(row: Any) -> tuple[Path, int, str]:
    path, size, wanted = row
    if not isinstance(path, str) or type(size) is not int or not isinstance(wanted, str):
        raise ValueError(f"{row!r:.200} is not a file")
    return Path(path), size, wanted


def _open(path: Path, size: int, wanted: str) -> tuple[Path, np.ndarray]:
    try:
        descriptor = os.open(path, _OPEN)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ArtifactError(
            f"{path}, which has the artifact's weights, cannot be read: {reason}; lower the model again"
        ) from None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise ArtifactError(f"{path}, which has the artifact's weights, is not a file")
    with os.fdopen(descriptor, "rb") as stream:
        if found.st_size != size:
            raise ArtifactError(
                f"{path}, which has the artifact's weights, has changed: it has {found.st_size} bytes, and "
                f"had {size}; lower the model again"
            )
        if digest_of_stream(stream) != wanted:
            raise ArtifactError(
                f"{path}, which has the artifact's weights, has changed: its checksum is another one; lower "
                "the model again"
            )
        raw = np.memmap(stream, np.uint8, "r") if size else np.empty(0, np.uint8)
        return path, np.asarray(raw)
