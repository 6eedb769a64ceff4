"""Rewriting `.pt2` files: the same archive with some entries changed, dropped or added."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lowering.frontend.pt2 import ArchiveError, read

SAMPLES = Path(__file__).parents[3] / "data" / "pt2"
ROOT = "archive"
MODEL = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"


def sample(name: str, version: str = "2.13.0") -> Path:
    return SAMPLES / f"torch-{version}" / f"{name}.pt2"


def entries(path: Path) -> dict[str, bytes]:
    """The entries of a sample, below its root folder, in order."""
    with zipfile.ZipFile(path) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def write(
    path: Path,
    contents: Mapping[str, bytes],
    compress: frozenset[str] = frozenset(),
    root: str = ROOT,
) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in contents.items():
            kind = zipfile.ZIP_DEFLATED if name in compress else zipfile.ZIP_STORED
            archive.writestr(f"{root}/{name}", data, kind)
    return path


def rewrite(source: Path, target: Path, changes: Mapping[str, bytes | Callable[[Any], Any] | None]) -> Path:
    """`source` with entries replaced: by bytes, dropped (None), or its JSON edited in place by a function."""
    contents = entries(source)
    for name, change in changes.items():
        if change is None:
            del contents[name]
        elif callable(change):
            document = json.loads(contents[name])
            result = change(document)
            contents[name] = json.dumps(document if result is None else result).encode()
        else:
            contents[name] = change
    return write(target, contents)


def node(document: Any, index: int = 0) -> Any:
    return document["graph_module"]["graph"]["nodes"][index]


def put(*path: Any, value: Any) -> Callable[[Any], None]:
    """An edit: set the field at this path."""

    def edit(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        document[path[-1]] = value

    return edit


def drop(*path: Any) -> Callable[[Any], None]:
    """An edit: delete the field at this path."""

    def edit(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        del document[path[-1]]

    return edit


def refusal(path: Path, model: str | None = None) -> str:
    with pytest.raises(ArchiveError) as caught:
        read(path, model)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert caught.value.path == path
    return message
