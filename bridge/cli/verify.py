"""`bridge verify`: every output and side effect against eager."""

from __future__ import annotations

from typing import Annotated

import typer

from bridge.cli.inputs import Inputs, Resize, read_inputs
from bridge.cli.limits import MaxMemory, Timeout, limit
from bridge.cli.options import (
    CastWeights,
    Device,
    Imports,
    Json,
    Model,
    Sizes,
    Source,
    Trust,
    Weights,
    open_methods,
    open_source,
    print_json,
    split_engines,
)
from bridge.cli.progress import working
from bridge.lowered import Lowered
from bridge.methods import LoweredMethods
from bridge.sizes import read_sizes
from lowering.targets import ENGINES


def command(
    source: Source,
    engine: Annotated[
        str, typer.Option("--engine", "-e", help="Engines to compare, with commas.")
    ] = ",".join(ENGINES),
    device: Device = "cpu",
    inputs: Inputs = None,
    resize: Resize = False,
    seed: Annotated[int, typer.Option(help="Seed of drawn inputs.")] = 0,
    calls: Annotated[int, typer.Option(help="Calls, each compared with the first bit for bit.", min=1)] = 1,
    edges: Annotated[
        bool, typer.Option("--edges", help="Compare subnormals, NaN, infinities, ties and extremes too.")
    ] = False,
    sizes: Sizes = None,
    weights: Weights = None,
    cast_weights: CastWeights = False,
    rtol: Annotated[
        float | None, typer.Option(help="Relative tolerance in place of the table's.", min=0)
    ] = None,
    atol: Annotated[
        float | None, typer.Option(help="Absolute tolerance in place of the table's.", min=0)
    ] = None,
    imports: Imports = None,
    model: Model = None,
    trust: Trust = False,
    timeout: Timeout = None,
    max_memory: MaxMemory = None,
    as_json: Json = False,
) -> None:
    """Compare engines with eager PyTorch; exit status 1 if anything differs.

    Of an artifact with several methods, each is compared by itself, then all in turn over their state.
    """
    limit(timeout, max_memory)
    from bridge.verifying import verify

    engines = split_engines(engine)
    with working(f"verifying {source}"):
        lowered: Lowered | LoweredMethods
        args = kwargs = None
        asked: list[dict[str, int]] = []
        if inputs or sizes or weights or cast_weights:
            lowered = open_source(source, imports, model, trust, weights=weights, cast_weights=cast_weights)
            if inputs:
                args, kwargs = read_inputs(lowered, inputs, as_torch=True, resize=resize)
            asked = list(read_sizes(lowered.program, sizes)) if sizes else []
        else:
            lowered = open_methods(source, imports, model, trust)
        report = verify(
            lowered,
            args,
            kwargs,
            engines=engines,
            device=device,
            seed=seed,
            calls=calls,
            edges=edges,
            rtol=rtol,
            atol=atol,
            sizes=asked,
        )
    if as_json:
        print_json({**report.json(), "source": str(source)})
    else:
        print(f"{source} against {report.reference}")
        print(report.markdown())
        print(f"\n{report.outputs()}\n\n{'PASSED' if report.passed else 'FAILED'}")
    if not report.passed:
        raise typer.Exit(1)
