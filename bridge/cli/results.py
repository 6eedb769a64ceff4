"""The results of a call, by name: its outputs, and the inputs and buffers that it wrote."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bridge.cli.inputs import BITS
from bridge.cli.options import note
from bridge.compilation import container_types
from bridge.errors import BridgeError, UsageError
from bridge.planned import Planned
from lowering.frontend.state_dicts.safetensors_files import write_safetensors
from lowering.host.drafts import draft_file
from lowering.ir.program import Arg, InputKind, OutputKind, Program, Ref
from lowering.ir.tree import flatten, leaf_paths
from lowering.ir.types import DType, TensorType

if TYPE_CHECKING:
    from bridge.compiled.compiled import Compiled
    from bridge.compiled.interpreted import Interpreted

# The first part of a value's name in a file.
OUTPUTS, INPUTS, BUFFERS = "outputs", "inputs", "buffers"
_SUFFIXES = (".npz", ".safetensors", ".npy")

# Values by name, of each kind.
Results = Mapping[str, Mapping[str, Any]]


def output_names(program: Program) -> list[str]:
    """A name for each output, in order; no two are the same.

    It is the way to the output in the results, if that has a key or a field: `logits`, `cache.0.key`. Else it
    is the name of the output's value, or `outPLACE` for a constant. A name that is taken gets its place.
    """
    paths = leaf_paths(program.signature.out_spec)
    wanted = [
        _path_name(path) if any(isinstance(step, str) for step in path) else _value_name(value, place)
        for place, (path, value) in enumerate(zip(paths, returned(program), strict=True))
    ]
    names: dict[str, None] = {}
    first = set(wanted)
    for place, name in enumerate(wanted):
        if name in names:
            while name in names or name in first:
                name = f"{name}.{place}"
        names[name] = None
    return list(names)


def returned(program: Program) -> list[Arg]:
    """The leaves of the results of a program, in order."""
    kinds = (OutputKind.USER, OutputKind.LOSS)
    return [spec.value for spec in program.signature.outputs if spec.kind in kinds]


def _path_name(path: Iterable[str | int]) -> str:
    # A file's members and a terminal's lines are named so: nothing of a key may be a path or a command there.
    return ".".join(re.sub(r"[^\w.-]", "_", str(step)) or "_" for step in path)


def _value_name(value: Arg, place: int) -> str:
    return value.name if isinstance(value, Ref) else f"out{place}"


def results_of(
    compiled: Compiled | Interpreted, args: tuple[Any, ...], kwargs: Mapping[str, Any], lowered: Planned
) -> Results:
    """Call a program. Gives its outputs, and the inputs and buffers that it writes as they are afterwards.

    Raises UsageError for an output of complex32, which numpy lacks.
    """
    program, types = lowered.program, container_types(lowered)
    names = output_names(program)
    for name, value in zip(names, returned(program), strict=True):
        type_ = program.graph.values[value.name] if isinstance(value, Ref) else None
        if isinstance(type_, TensorType) and type_.dtype is DType.COMPLEX32:
            raise UsageError(f"output {name} is complex32, which numpy lacks: call the program with torch")
    taken = [s.name for s in program.signature.inputs if s.kind in (InputKind.USER, InputKind.LITERAL)]
    leaves = flatten((args, dict(kwargs)), program.signature.in_spec, types)
    given = dict(zip(taken, leaves, strict=True))
    outputs = flatten(compiled(*args, **kwargs), program.signature.out_spec, types)
    buffers = compiled.buffers
    return {
        OUTPUTS: dict(zip(names, outputs, strict=True)),
        INPUTS: {name: given[name] for name in compiled.written.inputs},
        BUFFERS: {name: buffers[name] for name in compiled.written.buffers},
    }


def check_output(path: Path) -> None:
    """Raise UsageError unless `write_results` can write there, before anything is computed."""
    if path.suffix not in _SUFFIXES:
        raise UsageError(
            f"{path}: results are written as .npz or .safetensors (all of them), or .npy (a single output)"
        )
    check_writable(path)


def check_writable(path: Path) -> None:
    """Raise UsageError where a file plainly cannot be written, before anything is computed."""
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"cannot write {path}: the folder {path.parent} does not exist or is not writable")


def write_results(path: Path, results: Results) -> None:
    """Write a single output as .npy, or all values as `outputs/NAME`, `inputs/NAME` and `buffers/NAME`.

    All or nothing. An .npz has the bits of bfloat16 and float8, as uint16 and uint8; .safetensors has the
    dtypes themselves. Values that are not arrays or numbers are left out, and named on standard error. Raises
    UsageError where the file cannot be written, or an .npy is asked for and outputs are not one.
    """
    if path.suffix == ".npy" and len(results[OUTPUTS]) != 1:
        raise UsageError(f"{path}: the program has {len(results[OUTPUTS])} outputs; write an .npz")
    kinds = (OUTPUTS,) if path.suffix == ".npy" else (OUTPUTS, INPUTS, BUFFERS)
    named = {f"{kind}/{name}": value for kind in kinds for name, value in results[kind].items()}
    arrays = {name: np.asarray(value) for name, value in named.items()}
    odd = [name for name, array in arrays.items() if array.dtype.kind in "OUS"]
    if odd:
        note(f"left out of {path}, for they are not arrays: {', '.join(odd)}")
        arrays = {name: array for name, array in arrays.items() if name not in odd}
    try:
        _write(path, arrays)
    except BridgeError as problem:
        raise UsageError(f"{problem}; write an .npz") from None
    except OSError as problem:
        raise UsageError(f"cannot write {path}: {problem.strerror or problem}") from problem


def _write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    if path.suffix == ".safetensors":
        write_safetensors(path, arrays)
        return
    with draft_file(path) as (draft, stream):
        content = {name: _for_numpy(array) for name, array in arrays.items()}
        if path.suffix == ".npy":
            np.save(stream, next(iter(content.values())))
        else:
            np.savez(stream, *(), **content)  # pyright: ignore[reportArgumentType]
        stream.flush()
        draft.replace(path)


def describe(name: str, value: Any) -> dict[str, Any]:
    """A value's name, dtype, sizes and first elements."""
    array = np.asarray(value)
    preview = np.array2string(array, threshold=24, edgeitems=3, precision=6)
    return {"name": name, "dtype": str(array.dtype), "sizes": list(array.shape), "preview": preview}


def _for_numpy(array: np.ndarray) -> np.ndarray:
    """An array of a dtype that numpy's files can name."""
    is_foreign = array.dtype.kind == "V" or array.dtype.name.startswith(("bfloat", "float8"))
    return array.view(BITS[array.dtype.itemsize]) if is_foreign else array
