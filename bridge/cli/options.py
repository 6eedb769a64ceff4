"""Options that several commands share, and how results are printed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bridge.api import load, lower
from bridge.artifact import is_artifact
from bridge.configuration import ATEN, AUTO
from bridge.dispatch import check_engine
from bridge.errors import BridgeError, UsageError
from bridge.given_weights import with_weights
from bridge.lowered import Lowered
from bridge.methods import LoweredMethods
from bridge.sources import import_all
from lowering.host.drafts import draft_file
from lowering.targets import ENGINES

Source = Annotated[Path, typer.Argument(help="A .pt2 file or an artifact folder.", show_default=False)]
Engine = Annotated[
    str, typer.Option("--engine", "-e", help=f"{', '.join((*ENGINES, ATEN))}, or {AUTO}: the fastest.")
]
Device = Annotated[str, typer.Option(help="cpu, cuda, or cuda:1 for the second GPU.")]
Imports = Annotated[
    list[str] | None,
    typer.Option("--import", help="A module to import first, for its custom operators; may be repeated."),
]
Tune = Annotated[
    float | None,
    typer.Option(
        help="Seconds that the search of --engine auto may take; default: as long again as compiling takes.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Trust = Annotated[
    bool, typer.Option("--trust", help="Run an artifact's compiled code even if somebody else compiled it.")
]
Sizes = Annotated[
    list[str] | None,
    typer.Option(
        "--sizes",
        help="Sizes of a dynamic axis, as tokens.1=16..512:16 (input and axis) or s27=1,8 (symbol).",
    ),
]
BucketSizes = Annotated[
    list[str] | None,
    typer.Option(
        "--buckets",
        help="Sizes that calls at others are padded to, as x.0=1,2,4,8, where that is proved to be exact.",
    ),
]
StatedBuckets = Annotated[
    list[str] | None,
    typer.Option(
        "--stated-buckets",
        help="The same of an axis that is not proved: you state that results, cut, are right.",
    ),
]
Fill = Annotated[
    list[str] | None,
    typer.Option(
        "--fill",
        help="Elements of the padding of --stated-buckets, as mask=0; default: the last ones again.",
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights", help="Other weights: .safetensors, .pt, a folder of these, an artifact, a .pt2."
    ),
]
CastWeights = Annotated[
    bool, typer.Option("--cast-weights", help="Round --weights to the program's floating-point dtypes.")
]
Model = Annotated[
    str | None,
    typer.Option("--model", "--method", help="Which model of a file, or method of an artifact, of several."),
]


def open_source(
    path: Path,
    imports: list[str] | None = None,
    model: str | None = None,
    trust: bool = False,
    bounds_checks: bool = True,
    weights: Path | None = None,
    cast_weights: bool = False,
) -> Lowered:
    """Load an artifact, or read and lower a `.pt2` file. Raises BridgeError for a path that is neither."""
    if cast_weights and weights is None:
        raise UsageError("--cast-weights is for --weights")
    lowered = open_methods(path, imports, model, trust, bounds_checks)
    if isinstance(lowered, LoweredMethods):
        raise UsageError(f"{path} has several methods: choose one with --method, of {', '.join(lowered)}")
    return lowered if weights is None else with_weights(lowered, weights, cast=cast_weights)


def open_methods(
    path: Path,
    imports: list[str] | None = None,
    model: str | None = None,
    trust: bool = False,
    bounds_checks: bool = True,
) -> Lowered | LoweredMethods:
    """The same; all methods of an artifact that has several, unless `model` is one of them."""
    import_all(imports or ())
    if not path.is_dir():
        return lower(path, model=model, bounds_checks=bounds_checks)
    if not is_artifact(path):
        raise BridgeError(f"{path} is a folder but no artifact; give a .pt2 file or what `lower` wrote")
    if not bounds_checks:
        raise UsageError(f"--no-bounds-checks: {path} is an artifact, which was lowered already")
    lowered = _method_of(path, load(path, trust), model)
    every = list(lowered.values()) if isinstance(lowered, LoweredMethods) else [lowered]
    if count := sum(len(one.set_aside) for one in every):
        note(
            f"{path}: {count} compiled {'binary' if count == 1 else 'binaries'} of somebody else's "
            "will not run but be compiled anew; --trust runs them"
        )
    return lowered


def _method_of(path: Path, found: Lowered | LoweredMethods, method: str | None) -> Lowered | LoweredMethods:
    """All that was loaded, or the program of this method."""
    if method is None:
        return found
    if isinstance(found, LoweredMethods):
        return found[method]
    raise UsageError(f"--method {method}: {path} holds one program and no methods")


def split_engines(text: str) -> list[str]:
    """The engines of a list with commas. Raises UsageError for an engine that does not exist."""
    names = [part.strip() for part in text.split(",") if part.strip()]
    for name in names:
        check_engine(name)
    return names


def note_unmeasured(lowered: Lowered) -> None:
    """Say so where the engine `auto` had to choose without a measurement, or was stopped."""
    tuning = lowered.tuning
    if tuning is not None and tuning.problem:
        note(f"nothing was measured, {tuning.chosen} is taken: {tuning.problem}")
    elif tuning is not None and not tuning.complete:
        tried = ", ".join(trial.name for trial in tuning.trials)
        note(f"the time to tune was up: {tuning.chosen} is the best of {tried}; --tune again goes on")


def note(text: str) -> None:
    """Say something that is not the result, on standard error."""
    print(f"bridge: {text}", file=sys.stderr)


def print_json(data: Any) -> None:
    """One JSON document on standard output."""
    json.dump(data, sys.stdout, indent=2, ensure_ascii=False, default=str)
    sys.stdout.write("\n")


def write_file(path: Path, data: bytes) -> None:
    """Write a file, all or nothing. Raises UsageError where it cannot be written."""
    try:
        with draft_file(path) as (draft, file):
            file.write(data)
            file.flush()
            draft.replace(path)
    except OSError as problem:
        raise UsageError(f"cannot write {path}: {problem.strerror or problem}") from None
