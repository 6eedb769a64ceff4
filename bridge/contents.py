"""The files of one method among those of an artifact."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from bridge.errors import ArtifactError
from bridge.manifest import MANIFEST, METHOD, Contents

T = TypeVar("T")
_HEADER = ("not_functional", "bounds_checks", "binaries")


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
    found = contents.header.get("methods")
    if not isinstance(found, dict) or not found or not all(map(_is_header, found.values())):
        raise ArtifactError(f"{contents.folder / MANIFEST} is not the manifest of an artifact")
    if set(found) != {""} and not all(re.fullmatch(METHOD, name) for name in found):
        raise ArtifactError(f"{contents.folder / MANIFEST} names a method that no program can have")
    return tuple(found)


def _is_header(row: Any) -> bool:
    if not isinstance(row, dict) or set(row) != set(_HEADER):
        return False
    if not isinstance(row["not_functional"], str) or not isinstance(row["bounds_checks"], bool):
        return False
    binaries = row["binaries"]
    return isinstance(binaries, dict) and all(
        isinstance(one, list) and len(one) == 3 and all(isinstance(text, str) for text in one)
        for one in binaries.values()
    )
