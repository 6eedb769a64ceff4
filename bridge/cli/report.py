"""`bridge report`: all that is known of a program, as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.limits import MaxMemory, Timeout, limit
from bridge.cli.options import (
    CastWeights,
    Device,
    Imports,
    Model,
    Source,
    Trust,
    Weights,
    open_source,
    split_engines,
    write_file,
)
from bridge.cli.progress import working
from bridge.cli.summary import summary
from bridge.errors import UsageError
from bridge.lowered import Lowered
from bridge.memory import known_memory, memory_of
from bridge.report.document import report_page
from bridge.report.profiles import ProfileTable, profile_tables
from lowering.targets import ENGINES


def command(
    source: Source,
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML file.")] = Path("report.html"),
    verify: Annotated[bool, typer.Option("--verify", help="Compare engines with eager.")] = False,
    profile: Annotated[bool, typer.Option("--profile", help="Show where the time of a call goes.")] = False,
    engine: Annotated[
        str, typer.Option("--engine", "-e", help="Engines that --verify and --profile take, with commas.")
    ] = ",".join(ENGINES),
    device: Device = "cpu",
    weights: Weights = None,
    cast_weights: CastWeights = False,
    imports: Imports = None,
    model: Model = None,
    trust: Trust = False,
    timeout: Timeout = None,
    max_memory: MaxMemory = None,
) -> None:
    """Write a report: summary, graph, weights, StableHLO and more; exit status 1 if --verify fails."""
    limit(timeout, max_memory)
    check_html(output)
    engines = split_engines(engine)
    with working(f"reporting on {source}"):
        lowered = open_source(source, imports, model, trust, weights=weights, cast_weights=cast_weights)
        found = None
        if verify:
            from bridge.verifying import verify as run_verification

            found = run_verification(lowered, engines=engines, device=device)
        tables = [table for name in engines for table in _profiled(lowered, name, device)] if profile else []
        data = summary(lowered, [memory_of(lowered), *known_memory(lowered)])
        page = report_page(lowered, lowered.program.name or source.name, data, found, tables)
    write_file(output, page.encode())
    print(f"wrote {output}")
    if found is not None and not found.passed:
        raise typer.Exit(1)


def check_html(path: Path) -> None:
    """Raise UsageError for a page that would not be an .html file."""
    if path.suffix.lower() != ".html":
        raise UsageError(f"{path}: a report is an .html file")


def _profiled(lowered: Lowered, engine: str, device: str) -> list[ProfileTable]:
    """Of drawn inputs, on one engine."""
    from bridge import profiling
    from bridge.verification.draw import example_call

    compiled = lowered.compile(engine, device, on_new_size="wait")
    args, kwargs = example_call(lowered)
    return profile_tables(profiling.measure(compiled, args, kwargs), profiling.measured_peak(), engine)
