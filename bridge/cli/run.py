"""`bridge run`: call a program on inputs from files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.options import Device, Engine, Imports, Json, Model, Source, open_source, print_json, working
from bridge.cli.tensors import describe, flat_outputs, read_inputs, write_outputs
from bridge.errors import UsageError


def command(
    source: Source,
    inputs: Annotated[
        list[Path] | None,
        typer.Option("--input", "-i", help="A .npy file per input, in order, or one .npz."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the outputs here, as .npz or .npy.")
    ] = None,
    engine: Engine = "iree",
    device: Device = "cpu",
    imports: Imports = None,
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Run an artifact or a .pt2 file on inputs from .npy files; show or write the outputs."""
    if output is not None and output.suffix not in (".npy", ".npz"):
        raise UsageError(f"{output}: outputs are written as .npz (all of them) or .npy (a single one)")
    lowered = open_source(source, imports, model)
    args, kwargs = read_inputs(lowered, inputs or [])
    with working(f"compiling for {engine}"):
        compiled = lowered.compile(engine, device)
    leaves = flat_outputs(compiled(*args, **kwargs), lowered)
    if output is not None:
        write_outputs(output, leaves)
    if as_json:
        print_json({"outputs": [describe(leaf) for leaf in leaves], "report": compiled.report.json()})
    else:
        for index, leaf in enumerate(leaves):
            row = describe(leaf)
            print(f"output {index}: {row['dtype']} {row['sizes']}\n{row['preview']}")
