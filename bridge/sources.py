"""Reading a model: from a file, an ExportedProgram or a module to a `Program` and its weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.errors import BridgeError, UsageError, first_line
from lowering.ir.program import Program
from lowering.ir.weights import Weights, absent_weights

if TYPE_CHECKING:
    import torch

    Source = str | PathLike[str] | Program | torch.export.ExportedProgram | torch.nn.Module


def read(
    source: Source,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
    model: str | None = None,
) -> tuple[Program, Weights]:
    """The program and its weights, as the source has them. Reading a file imports no torch.

    Raises BridgeError (or UsageError) with one sentence, as `lower` does.
    """
    if isinstance(source, str | PathLike):
        if args is not None or kwargs is not None or dynamic_shapes is not None:
            raise UsageError(f"{source}: a file was exported already; it takes no example arguments")
        return read_file(Path(source), model)
    if isinstance(source, Program):
        if args is not None or kwargs is not None or dynamic_shapes is not None:
            raise UsageError("a Program was exported already; it takes no example arguments")
        return source, absent_weights(source)
    if model is not None:
        raise UsageError(f"model={model!r} chooses among the models of a file, and {_kind(source)} is none")
    return read_exported(exported_from(source, args, kwargs, dynamic_shapes))


def read_file(path: Path, model: str | None = None) -> tuple[Program, Weights]:
    """Read a `.pt2` file, or a program's JSON, which has no weights.

    Raises BridgeError for a file that cannot be read, UsageError for an artifact.
    """
    from lowering.frontend.errors import ArchiveError
    from lowering.frontend.pt2 import read as read_pt2
    from lowering.ir.tree import TreeSpecError
    from lowering.ir.validate import InvalidProgram

    if (path / "manifest.json").is_file():
        raise UsageError(f"{path} is an artifact, which was lowered already; read it with bridge.load")
    if path.suffix == ".json":
        if model is not None:
            raise UsageError(f"model={model!r}: {path} holds one program")
        try:
            program = Program.load(path)
        except InvalidProgram as problem:
            raise BridgeError(problem.violations[0]) from None
        return program, absent_weights(program)
    try:
        return read_pt2(path, model)
    except ArchiveError as error:
        raise BridgeError(str(error)) from error
    except TreeSpecError as error:
        raise BridgeError(f"{path}: {error}") from error


def has_model(source: Any, name: str) -> bool:
    """Whether a source is a `.pt2` file of several models, one of this name. Raises BridgeError."""
    from lowering.frontend.errors import ArchiveError
    from lowering.frontend.pt2 import model_names

    if not isinstance(source, str | PathLike) or Path(source).suffix != ".pt2":
        return False
    try:
        names = model_names(Path(source))
    except ArchiveError as error:
        raise BridgeError(str(error)) from error
    return len(names) > 1 and name in names


def read_exported(exported: torch.export.ExportedProgram) -> tuple[Program, Weights]:
    """Read an ExportedProgram in memory. Raises BridgeError for what the IR cannot hold."""
    from lowering.frontend.errors import ExportError
    from lowering.frontend.exported_program import from_exported_program
    from lowering.ir.tree import TreeSpecError

    try:
        return from_exported_program(exported)
    except (ExportError, TreeSpecError) as error:
        raise BridgeError(str(error)) from error


def exported_from(
    source: Any,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
) -> torch.export.ExportedProgram:
    """An ExportedProgram as it is, or a module exported with its example arguments.

    Raises UsageError for any other source and for arguments that do not go with it, BridgeError where the
    export fails.
    """
    import torch

    if isinstance(source, torch.export.ExportedProgram):
        if args is not None or kwargs is not None or dynamic_shapes is not None:
            raise UsageError("an ExportedProgram was exported already; it takes no example arguments")
        return source
    if not isinstance(source, torch.nn.Module):
        raise UsageError(
            f"{_kind(source)} is not a model: give a .pt2 path, an ExportedProgram or a torch.nn.Module"
        )
    if args is None and kwargs is None:
        raise UsageError(f"{_kind(source)}: a module needs example arguments to be exported with")
    from lowering.frontend.exported_program import export

    positional, named = checked_call(args, kwargs)
    try:
        return export(source, positional, named, dynamic_shapes)
    except Exception as error:  # whatever the model's own code raises, and torch's many complaints
        raise BridgeError(
            f"torch.export cannot export {_kind(source)}: {type(error).__name__}: {first_line(error)}"
        ) from error


def checked_call(
    args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A call's arguments, as a tuple and a dict. Raises UsageError for a lone tensor and the like."""
    if not isinstance(args, list | tuple | None):
        raise UsageError(f"args is a {_kind(args)}; give a tuple with one item per argument: args=(x,)")
    if not isinstance(kwargs, Mapping | None):
        raise UsageError(f"kwargs is a {_kind(kwargs)}; give a dict of arguments by name")
    return tuple(args or ()), dict(kwargs or {})


def import_all(names: Iterable[str]) -> None:
    """Import modules by name, as the user asked. Raises UsageError where one cannot be imported."""
    for name in [names] if isinstance(names, str) else names:
        try:
            import_module(name)
        except Exception as error:  # the module's own code runs, and may raise anything
            raise UsageError(
                f"cannot import {name!r}: {type(error).__name__}: {first_line(error)}"
            ) from error


def _kind(value: Any) -> str:
    return type(value).__name__
