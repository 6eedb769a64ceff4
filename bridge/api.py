"""`bridge.lower`: from whatever holds a model to a `Lowered`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.errors import BridgeError, UsageError
from bridge.lowered import Lowered, lower_program
from lowering.ir.program import Program
from lowering.ir.weights import Weights

if TYPE_CHECKING:
    import torch

    Source = str | PathLike[str] | torch.export.ExportedProgram | torch.nn.Module


def lower(
    source: Source,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
    imports: Iterable[str] = (),
    model: str | None = None,
) -> Lowered:
    """Read a program, place each of its nodes, and make one StableHLO module per segment.

    `source`: a `.pt2` file, an ExportedProgram, or a module, which is exported with `args`, `kwargs` and
    `dynamic_shapes` first. `imports`: modules to import before, which register custom operators and pytree
    types. `model`: which one, where a file holds several. No weight is read.

    Raises BridgeError (or a subclass) with one sentence for a file that cannot be read.
    """
    import_all(imports)
    program, weights = read(source, args, kwargs, dynamic_shapes, model)
    return lower_program(program, weights)


def read(
    source: Source,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
    model: str | None = None,
) -> tuple[Program, Weights]:
    """The program and its weights, as the source has them. Reading a file imports no torch."""
    if isinstance(source, str | PathLike):
        if args is not None or kwargs is not None or dynamic_shapes is not None:
            raise UsageError(f"{source}: a file was exported already; it takes no example arguments")
        return read_file(Path(source), model)
    import torch

    from lowering.exported_program import export, from_exported_program

    if isinstance(source, torch.export.ExportedProgram):
        return from_exported_program(source)
    if isinstance(source, torch.nn.Module):
        if args is None and kwargs is None:
            raise UsageError(f"{type(source).__name__}: a module needs example arguments to be exported with")
        return from_exported_program(export(source, tuple(args or ()), dict(kwargs or {}), dynamic_shapes))
    raise UsageError(
        f"{type(source).__name__} is no model: give a .pt2 path, an ExportedProgram or a torch.nn.Module"
    )


def read_file(path: Path, model: str | None = None) -> tuple[Program, Weights]:
    """Read a `.pt2` file."""
    from lowering.pt2 import read as read_pt2
    from lowering.pt2.errors import ArchiveError

    try:
        return read_pt2(path, model)
    except ArchiveError as error:
        raise BridgeError(str(error)) from error


def import_all(names: Iterable[str]) -> None:
    """Import modules by name, as the user asked; their errors are the user's to see."""
    for name in names:
        try:
            import_module(name)
        except ImportError as error:
            raise UsageError(f"--import {name}: {error}") from error
