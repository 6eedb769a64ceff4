"""Weights of a folder: one file of weights, or several with the index that says what lies in which."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lowering.frontend.state_dicts.errors import StateDictError
from lowering.ir.weights import Storage, Weights, WeightView

#: Indexes in the order in which they are looked for, as transformers writes them.
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
#: Files that hold all weights, in the same order.
FILES = ("model.safetensors", "pytorch_model.bin", "weights.pt")
_MAX_INDEX = 64 << 20


def read_folder(path: Path, read_file: Callable[[Path], Weights]) -> Weights:
    """The weights of a folder by its index, or of its only file. Raises StateDictError."""
    for name in INDEXES:
        if (path / name).is_file():
            return read_index(path / name, read_file)
    for name in FILES:
        if (path / name).is_file():
            return read_file(path / name)
    found = sorted(path.glob("*.safetensors"))
    if len(found) == 1:
        return read_file(found[0])
    raise StateDictError(path, f"it has no weights: none of {', '.join((*INDEXES, *FILES))}")


def read_index(path: Path, read_file: Callable[[Path], Weights]) -> Weights:
    """The weights of the files that an index names. Raises StateDictError."""
    table = _table(path)
    storages: dict[str, Storage] = {}
    views: dict[str, WeightView] = {}
    for file in dict.fromkeys(table.values()):
        # An index is a stranger's: it may name files of its own folder alone.
        if not _is_name(file):
            raise StateDictError(path, f"it names {file!r}, which is not a file of its own folder")
        part = read_file(path.parent / file)
        for name in (name for name, place in table.items() if place == file):
            view = part.views.get(name)
            if view is None:
                raise StateDictError(path, f"it places {name!r} in {file}, which has no such weight")
            key = f"{file}/{view.storage}"
            storages[key] = part.storages[view.storage]
            views[name] = WeightView(key, view.dtype, view.sizes, view.strides, view.offset)
    return Weights(storages, views)


def _is_name(file: str) -> bool:
    """Whether a text is the name of a file, and no path."""
    try:
        return Path(file).name == file != ".." and b"\0" not in os.fsencode(file)
    except UnicodeError:
        return False


def _table(path: Path) -> Mapping[str, str]:
    if path.stat().st_size > _MAX_INDEX:
        raise StateDictError(path, f"it has more than {_MAX_INDEX} bytes")
    try:
        content: Any = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as problem:
        raise StateDictError(path, f"it is not JSON: {problem}") from None
    table = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(table, dict) or not all(isinstance(file, str) for file in table.values()):
        raise StateDictError(path, "it has no weight_map of weights to files")
    return table
