"""`bridge run`: call a program on inputs from files."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    note,
    note_unmeasured,
    open_source,
    print_json,
)
from bridge.cli.progress import working
from bridge.cli.results import OUTPUTS, check_output, check_writable, describe, results_of, write_results
from bridge.configuration import ATEN, AUTO
from bridge.dispatch import check_engine, compiles_dynamic
from lowering.targets import DEFAULT_ENGINE

if TYPE_CHECKING:
    from bridge.compiled.compiled import Compiled
    from bridge.compiled.interpreted import Interpreted


def command(
    source: Source,
    inputs: Inputs = None,
    resize: Resize = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write outputs, written inputs and buffers: .npz, .safetensors or .npy."
        ),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(help="Write the inputs and outputs of each step to this new folder, as safetensors."),
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="Begin with the buffers of this file, which --save-state wrote.")
    ] = None,
    save_state: Annotated[
        Path | None, typer.Option(help="Write the buffers after the call to this .safetensors file.")
    ] = None,
    engine: Engine = DEFAULT_ENGINE,
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
    """Run an artifact or a .pt2 file on inputs from files; show or write outputs, written inputs, buffers."""
    limit(timeout, max_memory)
    if output is not None:
        check_output(output)
    if save_state is not None:
        check_writable(save_state)
    check_engine(engine, device, tune)
    with working(f"reading {source}"):
        lowered = open_source(source, imports, model, trust, weights=weights, cast_weights=cast_weights)
    args, kwargs = read_inputs(lowered, inputs or [], resize=resize)
    with working(f"compiling for {engine}"):
        example = {"args": args, "kwargs": kwargs} if engine == AUTO else {}
        # A process that calls once does not move to ATen to save the time of a compiler.
        way = "dynamic" if compiles_dynamic(engine) else "wait"
        compiled = lowered.compile(engine, device, tune=tune, on_new_size=way, **example)
    if engine == AUTO:
        note_unmeasured(lowered)
    if state is not None:
        compiled.state().load(state)
    with nullcontext() if record is None else _recording(compiled, record):
        results = results_of(compiled, args, kwargs, lowered)
    for place, reason in compiled.report.plan.reasons.items():
        if place not in lowered.plan.reasons and engine not in (ATEN, AUTO):
            note(f"{place} ran on ATen: {reason}")
    if save_state is not None:
        compiled.state().save(save_state)
    if output is not None:
        write_results(output, results)
    described = {
        kind: [describe(name, value) for name, value in values.items()] for kind, values in results.items()
    }
    if as_json:
        print_json({**described, "report": compiled.report.json()})
        return
    for kind, rows in described.items():
        after = "" if kind == OUTPUTS else ", after the call"
        for row in rows:
            print(f"{kind[:-1]} {row['name']}{after}: {row['dtype']} {row['sizes']}\n{row['preview']}")


def _recording(compiled: Compiled | Interpreted, folder: Path) -> AbstractContextManager[Any]:
    from bridge.recording import Recorder

    return compiled.on_step(Recorder(folder))
