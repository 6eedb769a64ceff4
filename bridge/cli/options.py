"""Options that several commands share, and how results are printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from bridge.api import import_all, lower
from bridge.artifact import is_artifact, load
from bridge.errors import BridgeError
from bridge.lowered import Lowered

Source = Annotated[Path, typer.Argument(help="A .pt2 file or an artifact folder.", show_default=False)]
Engine = Annotated[str, typer.Option("--engine", "-e", help="iree, xla or aten.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Imports = Annotated[
    list[str] | None,
    typer.Option("--import", help="A module to import first, for its custom operators; may be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Model = Annotated[str | None, typer.Option(help="Which model, where the file holds several.")]


def open_source(path: Path, imports: list[str] | None = None, model: str | None = None) -> Lowered:
    """Load an artifact, or read and lower a `.pt2` file."""
    import_all(imports or ())
    if path.is_dir():
        if is_artifact(path) or not any(path.iterdir()):
            return load(path)
        raise BridgeError(f"{path} is a folder but no artifact; give a .pt2 file or what `lower` wrote")
    return lower(path, model=model)


def print_json(data: Any) -> None:
    """One JSON document on standard output."""
    json.dump(data, sys.stdout, indent=2, ensure_ascii=False, default=str)
    sys.stdout.write("\n")


@contextmanager
def working(what: str) -> Iterator[None]:
    """Say what takes its time, on a terminal only; silent in a pipe."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(what):
        yield
