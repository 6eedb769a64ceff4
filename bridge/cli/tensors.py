"""Inputs from .npy and .npz files, outputs to them."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bridge.compilation import container_types
from bridge.errors import UsageError, first_line
from bridge.planned import Planned
from lowering.host.drafts import draft_file
from lowering.host.tensors import numpy_dtype, numpy_to_torch
from lowering.ir.program import InputKind, InputSpec
from lowering.ir.tree import TreeSpecError, flatten, unflatten
from lowering.ir.types import DType, SymType, TensorType
from runtime.argument_paths import did_you_mean

# The errors that numpy raises for a damaged or malicious file.
_BAD_FILE = (
    ValueError, EOFError, MemoryError, KeyError, TypeError, RuntimeError, OverflowError, SyntaxError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip

# Dtypes that numpy's files cannot name: they hold the bits instead.
_BITS = {2: np.dtype(np.uint16), 1: np.dtype(np.uint8)}


def read_inputs(
    lowered: Planned, files: Sequence[Path], as_torch: bool = False
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The call's arguments: one array per user input, in order, from .npy files or the values of one .npz.

    bfloat16 and float8 inputs are given as their bits (uint16, uint8). Raises UsageError where the count is
    wrong or a file cannot be read.
    """
    signature = lowered.program.signature
    specs = [spec for spec in signature.inputs if spec.kind is InputKind.USER]
    arrays = _in_order(_read_arrays(files), specs, files)
    given = iter(arrays)
    leaves: list[Any] = []
    for spec in signature.inputs:
        if spec.kind is InputKind.LITERAL:
            leaves.append(spec.literal)
        elif spec.kind is InputKind.USER:
            value = _as_input(next(given), spec, lowered)
            leaves.append(_as_torch(value, spec) if as_torch and isinstance(value, np.ndarray) else value)
    try:
        args, kwargs = unflatten(leaves, signature.in_spec, container_types(lowered))
    except TreeSpecError as error:
        raise UsageError(f"the arguments cannot be put together: {error} (--import)") from error
    return tuple(args), dict(kwargs)


def flat_outputs(result: Any, lowered: Planned) -> list[Any]:
    """The leaves of a call's result, in order."""
    return flatten(result, lowered.program.signature.out_spec, container_types(lowered))


def write_outputs(path: Path, leaves: Sequence[Any]) -> None:
    """Write a single output as .npy, or all as `out0`, `out1`, ... of an .npz; all or nothing.

    Raises UsageError where the file cannot be written, or an .npy is asked for and outputs are not one.
    """
    arrays = [_for_file(leaf) for leaf in leaves]
    if path.suffix == ".npy" and len(arrays) != 1:
        raise UsageError(f"{path}: the program has {len(arrays)} outputs; write an .npz")
    try:
        with draft_file(path) as (draft, stream):
            if path.suffix == ".npy":
                np.save(stream, arrays[0])
            else:
                np.savez(stream, *(), **{f"out{i}": array for i, array in enumerate(arrays)})  # pyright: ignore[reportArgumentType]
            stream.flush()
            draft.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error


def check_output(path: Path) -> None:
    """Raise UsageError unless `write_outputs` can write there, before anything is computed."""
    if path.suffix not in (".npy", ".npz"):
        raise UsageError(f"{path}: outputs are written as .npz (all of them) or .npy (a single one)")
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"cannot write {path}: the folder {path.parent} does not exist or is not writable")


def describe(leaf: Any) -> dict[str, Any]:
    """An output's dtype, sizes and first elements."""
    array = np.asarray(leaf)
    preview = np.array2string(array, threshold=24, edgeitems=3, precision=6)
    return {"dtype": str(array.dtype), "sizes": list(array.shape), "preview": preview}


def _read_arrays(files: Sequence[Path]) -> list[tuple[str, np.ndarray]]:
    """The arrays of all files with their names in the .npz, if they have one."""
    arrays: list[tuple[str, np.ndarray]] = []
    for file in files:
        try:
            content = np.load(file, allow_pickle=False)
            if isinstance(content, np.ndarray):
                arrays.append(("", content))
                continue
            with content:
                arrays.extend((name, content[name]) for name in content.files)
        except OSError as error:
            raise UsageError(f"cannot read {file}: {error.strerror or error}") from error
        except _BAD_FILE as error:
            raise UsageError(
                f"{file} is not a .npy or .npz file that numpy reads without pickle: {first_line(error)}"
            ) from error
    return arrays


def _in_order(
    arrays: list[tuple[str, np.ndarray]], specs: Sequence[InputSpec], files: Sequence[Path]
) -> list[np.ndarray]:
    """One array per input: an .npz's by their names, else as they come.

    Raises UsageError where there are more or fewer than inputs, or the names are others.
    """
    names = [spec.name for spec in specs]
    shown = ", ".join(map(str, files))
    if len(arrays) != len(specs):
        named = ", ".join(name for name, _ in arrays if name)
        given = f"{shown} has {len(arrays)}" if files else "none was given"
        how = "give each with --input" if not files else "give one .npy each, or all in one .npz"
        listed = f" ({', '.join(names)})" if names else ""
        plural = "" if len(names) == 1 else "s"
        named = f" (the arrays are {named})" if named else ""
        raise UsageError(f"the program takes {len(names)} input{plural}{listed}, {given}; {how}{named}")
    by_name = dict(arrays)
    if set(by_name) == set(names):
        return [by_name[name] for name in names]
    # numpy.savez names an array without a name by its place.
    if set(by_name) == {f"arr_{index}" for index in range(len(names))}:
        return [by_name[f"arr_{index}"] for index in range(len(names))]
    given = [name for name, _ in arrays if name]
    if not given:
        return [array for _, array in arrays]
    near = did_you_mean(next((name for name in given if name not in names), ""), names)
    listed = ", ".join(name or "an array without a name" for name, _ in arrays)
    raise UsageError(
        f"{shown} has {listed}, the program takes {', '.join(names)}: name each array as its input{near}"
    )


def _as_torch(array: np.ndarray, spec: InputSpec) -> Any:
    try:
        return numpy_to_torch(np.ascontiguousarray(array).reshape(array.shape))
    except TypeError as error:
        raise UsageError(f"input {spec.name}: {error}") from error


def _as_input(array: np.ndarray, spec: InputSpec, lowered: Planned) -> Any:
    """An array as the input's type wants it; the program's checks refuse an array that does not fit."""
    type_ = lowered.program.graph.values[spec.name]
    if isinstance(type_, SymType):
        return array.item() if array.ndim == 0 else array
    if isinstance(type_, TensorType) and _has_no_numpy_name(type_.dtype):
        bits = _BITS[type_.dtype.itemsize]
        return array.view(numpy_dtype(type_.dtype)) if array.dtype == bits else array
    return array


def _has_no_numpy_name(dtype: DType) -> bool:
    return dtype is DType.BFLOAT16 or dtype.value.startswith("float8")


def _for_file(leaf: Any) -> np.ndarray:
    array = np.asarray(leaf)
    return (
        array.view(_BITS[array.dtype.itemsize])
        if array.dtype.kind == "V"
        or ("float" in array.dtype.name and (array.dtype.name.startswith(("bfloat", "float8"))))
        else array
    )
