"""Inputs from .npy and .npz files, outputs to them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bridge.errors import UsageError
from bridge.lowered import Lowered
from lowering.ir.program import InputKind, InputSpec
from lowering.ir.tree import flatten, unflatten
from lowering.ir.types import DType, SymType, TensorType
from runtime.tensors import numpy_dtype, numpy_to_torch

# Dtypes that numpy's files cannot name: they hold the bits instead.
_BITS = {2: np.dtype(np.uint16), 1: np.dtype(np.uint8)}


def read_inputs(
    lowered: Lowered, files: Sequence[Path], as_torch: bool = False
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The call's arguments: one array per user input, in order, from .npy files or the values of one .npz.

    bfloat16 and float8 inputs are given as their bits (uint16, uint8). Raises UsageError where the count is
    wrong or a file cannot be read.
    """
    signature = lowered.program.signature
    specs = [spec for spec in signature.inputs if spec.kind is InputKind.USER]
    arrays = _read_arrays(files)
    if len(arrays) != len(specs):
        names = ", ".join(spec.name for spec in specs)
        raise UsageError(f"the program takes {len(specs)} inputs ({names}), {len(arrays)} were given")
    given = iter(arrays)
    leaves: list[Any] = []
    for spec in signature.inputs:
        if spec.kind is InputKind.LITERAL:
            leaves.append(spec.literal)
        elif spec.kind is InputKind.USER:
            value = _as_input(next(given), spec, lowered)
            leaves.append(numpy_to_torch(value) if as_torch and isinstance(value, np.ndarray) else value)
    args, kwargs = unflatten(leaves, signature.in_spec)
    return tuple(args), dict(kwargs)


def flat_outputs(result: Any, lowered: Lowered) -> list[Any]:
    """The leaves of a call's result, in order."""
    return flatten(result, lowered.program.signature.out_spec)


def write_outputs(path: Path, leaves: Sequence[Any]) -> None:
    """Write a single output as .npy, or all as `out0`, `out1`, ... of an .npz."""
    arrays = [_for_file(leaf) for leaf in leaves]
    if path.suffix == ".npy" and len(arrays) != 1:
        raise UsageError(f"{path}: the program has {len(arrays)} outputs; write an .npz")
    try:
        if path.suffix == ".npy":
            np.save(path, arrays[0])
        else:
            np.savez(path, **{f"out{i}": array for i, array in enumerate(arrays)})
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def describe(leaf: Any) -> dict[str, Any]:
    """An output's dtype, sizes and first elements."""
    array = np.asarray(leaf)
    preview = np.array2string(array, threshold=24, edgeitems=3, precision=6)
    return {"dtype": str(array.dtype), "sizes": list(array.shape), "preview": preview}


def _read_arrays(files: Sequence[Path]) -> list[np.ndarray]:
    arrays: list[np.ndarray] = []
    for file in files:
        try:
            content = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise UsageError(
                f"{file} is no .npy or .npz file that numpy reads without pickle: {error}"
            ) from error
        if isinstance(content, np.ndarray):
            arrays.append(content)
        else:
            with content:
                arrays.extend(content[name] for name in content.files)
    return arrays


def _as_input(array: np.ndarray, spec: InputSpec, lowered: Lowered) -> Any:
    """An array as the input's type wants it; what does not fit is refused by the program's checks."""
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
