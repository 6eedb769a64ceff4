"""`bridge info`: what is in a file or an artifact."""

from __future__ import annotations

from typing import Annotated

import typer

from bridge.cli.options import Imports, Json, Model, Source, open_source, print_json, working
from bridge.cli.summary import print_summary, summary


def command(
    source: Source,
    program: Annotated[bool, typer.Option("--program", help="Print the IR.")] = False,
    stablehlo: Annotated[
        int | None,
        typer.Option("--stablehlo", help="Print the StableHLO of this segment.", show_default=False),
    ] = None,
    imports: Imports = None,
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Describe a .pt2 file or an artifact: inputs, segments, what runs on ATen and why."""
    with working(f"reading {source}"):
        lowered = open_source(source, imports, model)
    if stablehlo is not None:
        print(lowered.stablehlo(stablehlo))
    elif program:
        print(lowered.program)
    elif as_json:
        print_json(summary(lowered))
    else:
        data = summary(lowered)
        print(f"{source}: exported by torch {data['torch'] or 'of unknown version'}")
        for item in data["inputs"]:
            print(f"input {item['name']}: {item['type']}")
        print(f"{data['weights']['names']} weights, {data['weights']['bytes'] / 1e6:.1f} MB")
        print_summary(lowered)
