"""Verification: run a program on engines and on eager, and compare everything a caller can see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from bridge.api import exported_from, import_all, lower
from bridge.artifact import is_artifact, load
from bridge.compilation import check_engine, interpreted
from bridge.errors import UsageError
from bridge.lowered import Lowered
from bridge.registration import bring_operators, check_operators
from bridge.verification.report import EngineReport, Report

__all__ = ["EngineReport", "Report", "verify"]


def verify(
    source: Any,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    engines: Iterable[str] = ("iree", "xla"),
    device: str = "cpu",
    seed: int = 0,
    calls: int = 1,
    dynamic_shapes: Any = None,
    imports: Iterable[str] = (),
    trust: bool = False,
) -> Report:
    """Compare engines with eager: outputs, inputs and buffers after the call, their dtypes, sizes and values.

    `source`: a `.pt2` file, an artifact, a `Lowered`, an ExportedProgram, or a module (exported with `args`).
    Eager is torch's own `ep.module()` for the last two; for a file it is the program as read, before any
    rewrite, interpreted on ATen. Without `args`, inputs are drawn from `seed`, within ranges and index
    bounds. Each side is given copies, of numpy arrays too; torch's generator starts at `seed` for both.
    `calls`: how many calls of each engine are compared, bit for bit, with the first that was given the same.
    A program that keeps state is called up to 16 times in a row, each call compared with eager; the row is
    made again from the same start. Every other row is given other numbers. `trust`: see `bridge.load`.

    An engine that fails is a failed row, not an exception. Raises BridgeError where the source or the inputs
    cannot be used, or eager itself fails. The module's buffers and the inputs are left as they were.
    """
    import torch

    from bridge.verification.draw import example_call
    from bridge.verification.reference import ExportedReference
    from bridge.verification.trial import run_engine, run_reference

    import_all(imports)
    engines = [engines] if isinstance(engines, str) else list(engines)
    if not engines or calls < 1:
        raise UsageError("there is nothing to verify without an engine and a call")
    for engine in engines:
        check_engine(engine, device)
    name = _name(source)
    if isinstance(source, torch.nn.Module):
        source = exported_from(source, args, kwargs, dynamic_shapes)
    elif dynamic_shapes is not None:
        raise UsageError(f"{name}: dynamic_shapes are for a module, which is exported with them")
    lowered = _lowered(source, trust)
    bring_operators(lowered.program)
    check_operators(lowered.program)
    call = example_call(lowered, args, kwargs, seed)
    if isinstance(source, torch.export.ExportedProgram):
        with ExportedReference(source, lowered.program) as module:
            expected = run_reference(module, call, calls, seed)
        reference = "ExportedProgram.module()"
    else:
        expected = run_reference(interpreted(lowered), call, calls, seed)
        reference = "the program as read, on ATen"
    rows = tuple(run_engine(lowered, engine, device, call, expected, calls, seed) for engine in engines)
    return Report(name, reference, rows)


def _lowered(source: Any, trust: bool) -> Lowered:
    if isinstance(source, Lowered):
        return source
    if isinstance(source, str | PathLike) and is_artifact(Path(source)):
        return load(source, trust)
    return lower(source)


def _name(source: Any) -> str:
    return str(source) if isinstance(source, str | PathLike) else type(source).__name__
