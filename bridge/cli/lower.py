"""`bridge lower`: from a .pt2 file to an artifact, ready to run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridge.api import lower, require_lowered
from bridge.artifact import check_target, is_artifact
from bridge.buckets import bucket_sizes, read_words
from bridge.cli.limits import MaxMemory, Timeout, limit
from bridge.cli.observation import PassesUntil, PrintAfter, PrintChanged, TimePasses, observing
from bridge.cli.options import (
    BucketSizes,
    CastWeights,
    Device,
    Fill,
    Imports,
    Json,
    Sizes,
    StatedBuckets,
    Tune,
    note,
    note_unmeasured,
    open_source,
    print_json,
    split_engines,
)
from bridge.cli.progress import working
from bridge.cli.summary import print_gaps, print_summary, print_tuning, summary
from bridge.configuration import ATEN, AUTO
from bridge.dispatch import check_engine, compiles_dynamic, use_buckets
from bridge.errors import UsageError
from bridge.referenced_weights import REFERENCE
from bridge.sizes import read_sizes
from lowering.targets import DEFAULT_ENGINE, ENGINES


def command(
    source: Annotated[
        Path | None, typer.Argument(help="The .pt2 file, or an artifact.", show_default=False)
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option("--method", help="In place of SOURCE: a method and its file, as decode=decode.pt2."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The artifact folder; default: MODEL.bridge beside it."),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            "--engine", "-e", help=f"Compile for: {', '.join((*ENGINES, AUTO))}, some with commas; or none."
        ),
    ] = DEFAULT_ENGINE,
    device: Device = "cpu",
    tune: Tune = None,
    sizes: Sizes = None,
    buckets: BucketSizes = None,
    stated_buckets: StatedBuckets = None,
    fill: Fill = None,
    dynamic: Annotated[
        bool,
        typer.Option(help="Compile a binary for all sizes too, where the engine has one."),
    ] = True,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            help="Other weights: .safetensors, .pt, a folder of these, an artifact, a .pt2; "
            "or `reference`: the artifact points into the lowered file.",
        ),
    ] = None,
    cast_weights: CastWeights = False,
    imports: Imports = None,
    model: Annotated[str | None, typer.Option(help="Which model, where the file holds several.")] = None,
    no_bounds_checks: Annotated[
        bool, typer.Option("--no-bounds-checks", help="Take the nearest index for one out of bounds.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a program of which a node would run on ATen.")
    ] = False,
    print_after: PrintAfter = None,
    print_changed: PrintChanged = False,
    passes_until: PassesUntil = None,
    time_passes: TimePasses = False,
    timeout: Timeout = None,
    max_memory: MaxMemory = None,
    as_json: Json = False,
) -> None:
    """Lower a .pt2 file into an artifact folder: StableHLO, weights, plan, compiled binaries.

    An artifact gets binaries for more engines.
    """
    limit(timeout, max_memory)
    engines = [] if engine == "none" else split_engines(engine)
    for name in engines:
        check_engine(name, device)
    if tune is not None and AUTO not in engines:
        raise UsageError("--tune is for --engine auto")
    if method is not None:
        _lower_methods(
            method, source, output, engines, device, imports, not no_bounds_checks, strict, as_json
        )
        return
    if source is None:
        raise typer.BadParameter("Missing: give a .pt2 file, or --method NAME=FILE for each method")
    if model is not None and is_artifact(source):
        raise UsageError(f"--model {model}: {source} is an artifact, whose programs were lowered already")
    refers = weights == Path(REFERENCE)
    if refers:
        weights = None
    target = output or _beside(source)
    check_target(target)
    refused: dict[str, dict[str, str]] = {}
    with observing(print_after, print_changed, passes_until, time_passes):
        with working(f"lowering {source}"):
            lowered = open_source(
                source,
                imports,
                model,
                bounds_checks=not no_bounds_checks,
                weights=weights,
                cast_weights=cast_weights,
            )
        if strict:
            require_lowered(lowered)
        asked = read_sizes(lowered.program, sizes) if sizes else []
        if buckets or stated_buckets or fill:
            given = read_words(buckets or [], stated_buckets or [], fill or [])
            use_buckets(lowered, given)
        asked += [s for s in bucket_sizes(lowered.program, lowered.buckets) if s not in asked]
        for name in engines:
            with working(f"compiling for {name}"):
                seconds = tune if name == AUTO else None
                way = "dynamic" if dynamic else "wait"
                report = lowered.compile(name, device, tune=seconds, sizes=asked, on_new_size=way).report
                plan = report.plan
                # Where an engine has none for any program, the reason is not worth a line.
                reasons = getattr(report, "no_dynamic", {}) if compiles_dynamic(name) else {}
                for index, why in reasons.items():
                    note(f"{name}: segment {index} has no binary for all sizes: {why}")
            refused[name] = {n: why for n, why in plan.reasons.items() if n not in lowered.plan.reasons}
    if passes_until is not None:
        # They lack passes that their keys name: whoever loads the artifact compiles anew.
        lowered.binaries.clear()
    if AUTO in engines:
        note_unmeasured(lowered)
    with working(f"writing {target}"):
        lowered.save(target, weights=REFERENCE if refers else None)
    if as_json:
        print_json({"artifact": str(target), **summary(lowered), "refused": refused})
        return
    print_summary(lowered)
    for name, reasons in refused.items():
        if name not in (ATEN, AUTO):
            print_gaps(lowered, reasons)
    if lowered.tuning is not None and AUTO in engines:
        print_tuning(lowered.tuning)
    print(f"wrote {target}")


def _lower_methods(
    words: list[str],
    source: Path | None,
    output: Path | None,
    engines: list[str],
    device: str,
    imports: list[str] | None,
    bounds_checks: bool,
    strict: bool,
    as_json: bool,
) -> None:
    """One artifact of several programs."""
    if source is not None:
        raise UsageError(f"{source}: give files by --method NAME=FILE alone, or one without --method")
    if output is None:
        raise UsageError("methods have no file of one name to lie beside; give --output")
    check_target(output)
    files = dict(map(_method_and_file, words))
    if len(files) < len(words):
        raise UsageError("--method gives two files for one name")
    with working("lowering the methods"):
        lowered = lower(files, imports=imports or (), bounds_checks=bounds_checks, strict=strict)
    for name in engines:
        with working(f"compiling for {name}"):
            lowered.compile(name, device)
    with working(f"writing {output}"):
        lowered.save(output)
    if as_json:
        print_json({"artifact": str(output), "methods": {n: summary(one) for n, one in lowered.items()}})
        return
    for name, one in lowered.items():
        print(f"{name}:")
        print_summary(one)
    print(f"wrote {output}")


def _method_and_file(word: str) -> tuple[str, Path]:
    name, found, file = word.partition("=")
    if not found or not file:
        raise UsageError(f"--method {word}: give a name and its file, as decode=decode.pt2")
    return name, Path(file)


def _beside(source: Path) -> Path:
    """`model.bridge` for `model.pt2`."""
    if not source.name:
        raise UsageError(f"{source} has no name to call the artifact by; give --output")
    return source.with_suffix(".bridge")
