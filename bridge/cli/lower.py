"""`bridge lower`: from a .pt2 file to an artifact, ready to run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.options import Device, Imports, Json, Model, open_source, print_json, working
from bridge.cli.summary import print_summary, summary


def command(
    source: Annotated[Path, typer.Argument(help="The .pt2 file.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The artifact folder; default: MODEL.bridge beside it."),
    ] = None,
    engine: Annotated[
        str, typer.Option("--engine", "-e", help="Compile for: iree, xla, both with a comma, or none.")
    ] = "iree",
    device: Device = "cpu",
    imports: Imports = None,
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Lower a .pt2 file into an artifact folder: StableHLO, weights, plan, compiled binaries."""
    target = output or source.with_suffix(".bridge")
    with working(f"lowering {source}"):
        lowered = open_source(source, imports, model)
    for name in [part for part in engine.split(",") if part and part != "none"]:
        with working(f"compiling for {name}"):
            lowered.compile(name, device)
    with working(f"writing {target}"):
        lowered.save(target)
    if as_json:
        print_json({"artifact": str(target), **summary(lowered)})
    else:
        print_summary(lowered)
        print(f"wrote {target}")
