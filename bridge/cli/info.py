"""`bridge info`: the contents of a file or an artifact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from bridge.cli.limits import MaxMemory, Timeout, limit
from bridge.cli.options import (
    Imports,
    Json,
    Model,
    Source,
    Trust,
    open_source,
    print_json,
    split_engines,
    write_file,
)
from bridge.cli.progress import working
from bridge.cli.summary import (
    print_contract,
    print_memory,
    print_operators,
    print_summary,
    print_tuning,
    summary,
)
from bridge.lowered import Lowered
from bridge.memory import CallMemory, known_memory, memory_of


def command(
    source: Source,
    program: Annotated[bool, typer.Option("--program", help="Print the IR.")] = False,
    stablehlo: Annotated[
        int | None,
        typer.Option("--stablehlo", help="Print the StableHLO of this segment.", show_default=False),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            "-e",
            help="Engines to compile for, with commas, that tell how much memory a call needs.",
        ),
    ] = "",
    imports: Imports = None,
    model: Model = None,
    trust: Trust = False,
    timeout: Timeout = None,
    max_memory: MaxMemory = None,
    as_json: Json = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the JSON here instead of printing it.")
    ] = None,
) -> None:
    """Describe a .pt2 file, an artifact or a program's JSON: inputs, outputs, operators, segments, gaps."""
    limit(timeout, max_memory)
    if output is not None:
        as_json = True
    engines = split_engines(engine)
    with working(f"reading {source}"):
        lowered = open_source(source, imports, model, trust)
    if stablehlo is not None:
        text = lowered.stablehlo(stablehlo)
        _json({"segment": stablehlo, "stablehlo": text}, output) if as_json else print(text)
    elif program:
        _json(lowered.program.to_json(), output) if as_json else print(lowered.program)
    elif as_json:
        _json(summary(lowered, _memory(lowered, engines)), output)
    else:
        memory = _memory(lowered, engines)
        data = summary(lowered, memory)
        print(f"{source}: exported by torch {data['torch'] or 'of unknown version'}")
        print_contract(data)
        print_operators(data)
        print_memory(memory)
        print_summary(lowered)
        if lowered.tuning is not None:
            print_tuning(lowered.tuning)


def _memory(lowered: Lowered, engines: list[str]) -> list[CallMemory]:
    """Of the IR, then of the engines that were asked for, else of those whose binaries are there."""
    with working("compiling" if engines else "reading compiled code"):
        found = [memory_of(lowered, name) for name in engines] if engines else known_memory(lowered)
    return [memory_of(lowered), *found]


def _json(data: Any, output: Path | None) -> None:
    """Print JSON, or write it to a file, all or nothing."""
    if output is None:
        print_json(data)
        return
    write_file(output, (json.dumps(data, indent=2, ensure_ascii=False, default=str) + "\n").encode())
