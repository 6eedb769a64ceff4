"""`bridge profile`: where the time of a call goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from bridge.cli.inputs import Inputs, Resize, read_inputs
from bridge.cli.limits import MaxMemory, Timeout, limit
from bridge.cli.options import (
    CastWeights,
    Device,
    Engine,
    Imports,
    Json,
    Model,
    Source,
    Trust,
    Tune,
    Weights,
    open_source,
    print_json,
    write_file,
)
from bridge.cli.progress import working
from bridge.cli.report import check_html
from bridge.configuration import AUTO
from bridge.dispatch import check_engine
from bridge.planned import Planned
from bridge.report.document import profile_page
from bridge.report.profiles import profile_tables
from lowering.targets import DEFAULT_ENGINE


def command(
    source: Source,
    inputs: Inputs = None,
    resize: Resize = False,
    engine: Engine = DEFAULT_ENGINE,
    calls: Annotated[int, typer.Option(help="Calls, of which the one of median time is shown.", min=1)] = 10,
    trace: Annotated[
        Path | None, typer.Option(help="Write a Chrome trace here, which Perfetto opens.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write the profile here as one HTML file, with the graph.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of drawn inputs.")] = 0,
    device: Device = "cpu",
    tune: Tune = None,
    weights: Weights = None,
    cast_weights: CastWeights = False,
    imports: Imports = None,
    model: Model = None,
    trust: Trust = False,
    timeout: Timeout = None,
    max_memory: MaxMemory = None,
    as_json: Json = False,
) -> None:
    """Show where the time of a call goes: operators, segments, what engines run in them, imports, exports."""
    limit(timeout, max_memory)
    check_engine(engine, device, tune)
    if html is not None:
        check_html(html)
    from bridge import profiling

    with working(f"reading {source}"):
        lowered = open_source(source, imports, model, trust, weights=weights, cast_weights=cast_weights)
    args, kwargs = read_inputs(lowered, inputs, resize=resize) if inputs else _drawn(lowered, seed)
    with working(f"compiling for {engine}"):
        example = {"args": args, "kwargs": kwargs} if engine == AUTO else {}
        compiled = lowered.compile(engine, device, on_new_size="wait", tune=tune, **example)
    with working(f"calling {source}"):
        measured = profiling.measure(compiled, args, kwargs, calls)
        peak = profiling.measured_peak()
    profile = measured.profile
    if trace is not None:
        write_file(trace, json.dumps(profiling.chrome_trace(profile)).encode())
    if html is not None:
        tables = profile_tables(measured, peak, engine)
        title = lowered.program.name or source.name
        write_file(html, profile_page(lowered, compiled.report.plan, title, tables).encode())
    inside = sum(row.seconds for row in profiling.parts(profile) if row.kind != "between")
    if as_json:
        data = {"plain_seconds": measured.plain_seconds, "calls": measured.calls, "sum": inside}
        print_json({**data, **profiling.as_json(profile, peak)})
        return
    plain = measured.plain_seconds
    print(
        f"{source} on {engine}: {profile.seconds * 1e3:.3f} ms, {plain * 1e3:.3f} ms without a profile; "
        f"the parts are {inside / plain:.1%} of that\n"
        f"this machine: {peak.flops / 1e9:.0f} GFLOP/s in a product, {peak.nbytes / 1e9:.1f} GB/s in a copy; "
        f"{profile.copies} tensors copied\n\n{profiling.table(profile, peak)}"
    )


def _drawn(lowered: Planned, seed: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
    from bridge.verification.draw import example_call

    return example_call(lowered, seed=seed)
