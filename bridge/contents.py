"""The files of one method among those of an artifact."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from bridge.errors import ArtifactError
from bridge.manifest import MANIFEST, METHOD, Contents

T = TypeVar("T")


class Part:
    """Reads the files of a method, by the names that they have in an artifact of one program.

    `method`: empty for an artifact of one program.
    """

    def __init__(self, contents: Contents, method: str) -> None:
        self._contents = contents
        self._method = method
        self.header: dict[str, Any] = contents.header["methods"][method]
        self.folder = contents.folder

    def __contains__(self, name: str) -> bool:
        return file_of(self._method, name) in self._contents.files

    def parse(self, name: str, reader: Callable[[Any], T]) -> T:
        """As `Contents.parse`."""
        return self._contents.parse(file_of(self._method, name), reader)

    def read(self, name: str) -> bytes:
        """As `Contents.read`."""
        return self._contents.read(file_of(self._method, name))

    def shared(self, name: str) -> bytes:
        """As `Contents.read`, of a file that belongs to no method."""
        return self._contents.read(name)


def file_of(method: str, name: str) -> str:
    """The name of a method's file in the folder: `decode.plan.json`, `modules/decode.segment_0.mlirbc`."""
    if not method:
        return name
    folder, _, own = name.rpartition("/")
    return f"{folder}/{method}.{own}" if folder else f"{method}.{own}"


def methods_of(contents: Contents) -> tuple[str, ...]:
    """The names of an artifact's methods. Raises ArtifactError for a header that `save` does not write."""
    manifest = contents.folder / MANIFEST
    found = contents.header.get("methods")
    if not isinstance(found, dict) or not found or not all(map(_is_header, found.values())):
        raise ArtifactError(f"{manifest} is not the manifest of an artifact")
    if set(found) != {""} and not all(re.fullmatch(METHOD, name) for name in found):
        raise ArtifactError(f"{manifest} names a method that no program can have")
    if not all(_describes_binaries(row.get("binaries")) for row in found.values()):
        raise ArtifactError(f"{manifest} does not describe the binaries")
    return tuple(found)


def _is_header(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and isinstance(row.get("not_functional"), str)
        and isinstance(row.get("bounds_checks"), bool)
    )


def _describes_binaries(rows: Any) -> bool:
    return isinstance(rows, dict) and all(
        isinstance(row, list) and len(row) == 3 and all(isinstance(text, str) for text in row)
        for row in rows.values()
    )
