"""`bridge source`: a program as the source of a `torch.nn.Module`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.limits import MaxMemory, Timeout, limit
from bridge.cli.options import Imports, Model, Source, write_file
from bridge.cli.progress import working
from bridge.ir import read_program
from bridge.sources import import_all


def command(
    source: Source,
    name: Annotated[
        str | None, typer.Option("--name", help="The class; default: the program's name, or Model.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the source here instead of printing it.")
    ] = None,
    imports: Imports = None,
    model: Model = None,
    timeout: Timeout = None,
    max_memory: MaxMemory = None,
) -> None:
    """Print a program as the source of a torch.nn.Module, whose export is the program again."""
    limit(timeout, max_memory)
    import_all(imports or ())
    with working(f"reading {source}"):
        text = read_program(source, model).to_python(name)
    if output is None:
        print(text, end="")
    else:
        write_file(output, text.encode())
