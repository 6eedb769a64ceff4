"""Verification: run a program on engines and on eager, and compare everything a caller can see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from bridge.api import import_all, lower
from bridge.artifact import is_artifact, load
from bridge.compilation import interpreted
from bridge.errors import BridgeError
from bridge.lowered import Lowered
from bridge.verify.report import EngineReport, Report

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
) -> Report:
    """Compare engines with eager: outputs, inputs and buffers after the call, their dtypes, sizes and values.

    `source`: a `.pt2` file, an artifact, a `Lowered`, an ExportedProgram, or a module (exported with `args`).
    Eager is torch's own `ep.module()` for the last two; for a file it is the program as read, before any
    rewrite, interpreted on ATen. Without `args`, inputs are drawn from `seed`, within ranges and index
    bounds. `calls`: how many times in a row each side is called, its state kept. An engine that fails is a
    failed row, not an exception. Raises BridgeError where the source or the inputs cannot be used.
    """
    import torch

    from bridge.verify.draw import draw_inputs
    from bridge.verify.reference import ExportedReference
    from bridge.verify.trial import run_engine, run_reference
    from lowering.ir.tree import unflatten

    import_all(imports)
    if isinstance(source, torch.nn.Module):
        from lowering.exported_program import export

        if args is None and kwargs is None:
            raise BridgeError(
                f"{type(source).__name__}: a module needs example arguments to be exported with"
            )
        source = export(source, tuple(args or ()), dict(kwargs or {}), dynamic_shapes)
    lowered = _lowered(source)
    if args is None and kwargs is None:
        leaves = draw_inputs(lowered.program, lowered.example_sizes, seed)
        args, kwargs = unflatten(leaves, lowered.program.signature.in_spec)
    call = (tuple(args or ()), dict(kwargs or {}))
    if isinstance(source, torch.export.ExportedProgram):
        with ExportedReference(source, lowered.program) as module:
            expected = run_reference(module, lowered, call, calls)
        reference = "ExportedProgram.module()"
    else:
        expected = run_reference(interpreted(lowered), lowered, call, calls)
        reference = "the program as read, on ATen"
    rows = tuple(run_engine(lowered, name, device, call, calls, expected) for name in engines)
    return Report(_name(source), reference, rows)


def _lowered(source: Any) -> Lowered:
    if isinstance(source, Lowered):
        return source
    if isinstance(source, str | PathLike) and is_artifact(Path(source)):
        return load(source)
    return lower(source)


def _name(source: Any) -> str:
    return str(source) if isinstance(source, str | PathLike) else type(source).__name__
