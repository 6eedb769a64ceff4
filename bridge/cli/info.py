"""`bridge info`: the contents of a file or an artifact."""

from __future__ import annotations

from typing import Annotated

import typer

from bridge.cli.limits import MaxMemory, Timeout, limit
from bridge.cli.options import Imports, Json, Model, Source, Trust, open_source, print_json, working
from bridge.cli.summary import print_contract, print_summary, print_tuning, summary


def command(
    source: Source,
    program: Annotated[bool, typer.Option("--program", help="Print the IR.")] = False,
    stablehlo: Annotated[
        int | None,
        typer.Option("--stablehlo", help="Print the StableHLO of this segment.", show_default=False),
    ] = None,
    imports: Imports = None,
    model: Model = None,
    trust: Trust = False,
    timeout: Timeout = None,
    max_memory: MaxMemory = None,
    as_json: Json = False,
) -> None:
    """Describe a .pt2 file or an artifact: inputs, outputs, segments, what runs on ATen and why."""
    limit(timeout, max_memory)
    with working(f"reading {source}"):
        lowered = open_source(source, imports, model, trust)
    if stablehlo is not None:
        text = lowered.stablehlo(stablehlo)
        print_json({"segment": stablehlo, "stablehlo": text}) if as_json else print(text)
    elif program:
        from lowering.ir.json import to_json

        print_json(to_json(lowered.program)) if as_json else print(lowered.program)
    elif as_json:
        print_json(summary(lowered))
    else:
        data = summary(lowered)
        print(f"{source}: exported by torch {data['torch'] or 'of unknown version'}")
        print_contract(data)
        print_summary(lowered)
        if lowered.tuning is not None:
            print_tuning(lowered.tuning)
