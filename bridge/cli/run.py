"""`bridge run`: call a program on inputs from files."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

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
from bridge.cli.tensors import check_output, describe, flat_outputs, read_inputs, write_outputs
from bridge.configuration import ATEN, AUTO
from bridge.dispatch import check_engine
from bridge.errors import BridgeError
from lowering.targets import DEFAULT_ENGINE


def command(
    source: Source,
    inputs: Annotated[
        list[Path] | None,
        typer.Option("--input", "-i", help="A .npy file per input, in order, or one .npz."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the outputs here, as .npz or .npy.")
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(help="Write the inputs and outputs of each step to this new folder, as safetensors."),
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
    """Run an artifact or a .pt2 file on inputs from .npy files; show or write the outputs."""
    limit(timeout, max_memory)
    if output is not None:
        check_output(output)
    check_engine(engine, device, tune)
    with working(f"reading {source}"):
        lowered = open_source(source, imports, model, trust, weights=weights, cast_weights=cast_weights)
    args, kwargs = read_inputs(lowered, inputs or [])
    with working(f"compiling for {engine}"):
        example = {"args": args, "kwargs": kwargs} if engine == AUTO else {}
        compiled = lowered.compile(engine, device, tune=tune, **example)
    if engine == AUTO:
        note_unmeasured(lowered)
    with nullcontext() if record is None else _recording(compiled, record):
        result = compiled(*args, **kwargs)
    leaves = flat_outputs(result, lowered)
    for place, reason in compiled.report.plan.reasons.items():
        if place not in lowered.plan.reasons and engine not in (ATEN, AUTO):
            note(f"{place} ran on ATen: {reason}")
    if output is not None:
        write_outputs(output, leaves)
    if as_json:
        print_json({"outputs": [describe(leaf) for leaf in leaves], "report": compiled.report.json()})
    else:
        for index, leaf in enumerate(leaves):
            row = describe(leaf)
            print(f"output {index}: {row['dtype']} {row['sizes']}\n{row['preview']}")


def _recording(compiled: Any, folder: Path) -> AbstractContextManager[Any]:
    from bridge.recording import Recorder
    from runtime.executor import Compiled

    if not isinstance(compiled, Compiled):
        raise BridgeError("the program has no steps to record: it runs as it is, node by node")
    return compiled.on_step(Recorder(folder))
