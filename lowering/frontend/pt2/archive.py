"""A `.pt2` file as a zip: its models and its documents. Nothing is unpickled; documents are bounded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lowering.frontend.errors import ArchiveError
from lowering.frontend.mapped_zip import MappedZip
from lowering.ir.errors import did_you_mean

# A document of 256 MiB holds a graph of about 100,000 nodes with their stack traces.
MAX_DOCUMENT = 256 << 20

# The kind of a file that has one of these at its top, and the remedy.
_OTHER_FORMATS = {
    "serialized_exported_program.json": "an exported program of torch 2.8 or earlier: "
    "load it there and save it with torch 2.9 or later",
    "constants.pkl": "a TorchScript file: export the module with torch.export",
    "data.pkl": "a pickle of torch.save: export the module with torch.export and use torch.export.save",
}


class Archive(MappedZip):
    """An open `.pt2`, and which of its models is read."""

    def __init__(self, path: str | Path, model: str | None = None) -> None:
        self.model = model or ""
        super().__init__(path, "a .pt2 file", "torch.export.save")

    def _check(self) -> None:
        self._check_format()
        self.model = self._choose(self.model or None)

    def _check_format(self) -> None:
        if not any(is_model(name) for name in self._entries):
            if any(name.startswith("data/aotinductor/") for name in self._entries):
                problem = "an AOTInductor package of compiled code: save the exported program itself instead"
                raise ArchiveError(self.path, problem)
            for name, what in _OTHER_FORMATS.items():
                if any(entry.rpartition("/")[2] == name for entry in self._entries):
                    raise ArchiveError(self.path, what)
            raise ArchiveError(self.path, "the archive has no models/*.json: this is not an exported program")
        for name, known, what in (
            ("archive_format", "pt2", "archive format"),
            ("archive_version", "0", "archive version"),
            ("byteorder", "little", "byte order"),
        ):
            if name in self._entries:
                found = self.content(name, 100).decode("ascii", "replace").strip()
                if found != known:
                    raise ArchiveError(self.path, f"the {what} is {found!r}; only {known!r} can be read")

    def _names(self) -> list[str]:
        return [name[len("models/") : -len(".json")] for name in self._entries if is_model(name)]

    def _choose(self, model: str | None) -> str:
        names = self._names()
        listed = ", ".join(sorted(names))
        if model is None:
            if len(names) > 1:
                raise ArchiveError(
                    self.path, f"the archive has several models ({listed}): choose one by name"
                )
            return names[0]
        if model not in names:
            near = did_you_mean(model, names)
            raise ArchiveError(self.path, f"the archive has no model {model!r}; it has {listed}{near}")
        return model

    def document(self, name: str) -> Any:
        """A JSON entry, decoded. `name` is below the root: `models/model.json`."""
        data = self.content(name, MAX_DOCUMENT)
        try:
            return json.loads(data)
        except RecursionError:
            raise ArchiveError(self.path, f"{name} is nested too deeply") from None
        except ValueError as problem:
            raise ArchiveError(self.path, f"{name} is not JSON: {problem}") from None


class _Listing(Archive):
    """An open `.pt2` of which no model is chosen."""

    def _check(self) -> None:
        self._check_format()
        self.names = tuple(self._names())


def model_names(path: str | Path) -> tuple[str, ...]:
    """The models of a file. Raises ArchiveError for one that is not an exported program."""
    with _Listing(path) as archive:
        return archive.names


def is_model(name: str) -> bool:
    """Whether an entry is a model's document: `models/<name>.json`."""
    return name.startswith("models/") and name.endswith(".json")
