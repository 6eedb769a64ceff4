"""Inputs from files: arrays of numpy and safetensors, images, tokens."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer

from bridge.cli import images, tokens
from bridge.cli.options import note
from bridge.compilation import container_types
from bridge.errors import UsageError, first_line
from bridge.planned import Planned
from lowering.frontend.state_dicts.safetensors_files import read_safetensors
from lowering.host.tensors import numpy_dtype, numpy_to_torch
from lowering.host.weights import materialise
from lowering.ir.errors import did_you_mean
from lowering.ir.program import InputKind, InputSpec
from lowering.ir.tree import TreeSpecError, unflatten
from lowering.ir.types import DType, SymType, TensorType

Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        "-i",
        help="A file per input, in order or as NAME=FILE: .npy, an image, or tokens as .txt or .json; "
        "or one .npz or .safetensors with all of them.",
    ),
]
Resize = Annotated[bool, typer.Option("--resize", help="Stretch images to the input's height and width.")]

# The errors that numpy raises for a damaged or malicious file.
_BAD_FILE = (
    ValueError, EOFError, MemoryError, KeyError, TypeError, RuntimeError, OverflowError, SyntaxError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip

# Dtypes that numpy's files cannot name: they hold the bits instead.
BITS = {2: np.dtype(np.uint16), 1: np.dtype(np.uint8)}


class Given(NamedTuple):
    """A value for an input: an array, or images or tokens that are read as the input wants them.

    `name`: of the input or of the array in its file; empty where there is none. `asked`: whether the caller
    wrote the name.
    """

    name: str
    asked: bool
    file: Path
    array: np.ndarray | None = None


def read_inputs(
    lowered: Planned, words: Sequence[str], as_torch: bool = False, resize: bool = False
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The call's arguments from files, each as `FILE` or `NAME=FILE`.

    Arrays of files without names are taken in order. bfloat16 and float8 inputs may be given as their bits
    (uint16, uint8). Images and tokens become arrays as `images` and `tokens` say, which is noted on standard
    error. Raises UsageError where the count or a name is wrong or a file cannot be read.
    """
    signature = lowered.program.signature
    specs = [spec for spec in signature.inputs if spec.kind is InputKind.USER]
    chosen = _chosen([given for word in words for given in _read(word, specs)], specs)
    leaves: list[Any] = []
    for spec in signature.inputs:
        if spec.kind is InputKind.LITERAL:
            leaves.append(spec.literal)
        elif spec.kind is InputKind.USER:
            value = _value(chosen[spec.name], spec, lowered, resize)
            leaves.append(_as_torch(value, spec) if as_torch and isinstance(value, np.ndarray) else value)
    try:
        args, kwargs = unflatten(leaves, signature.in_spec, container_types(lowered))
    except TreeSpecError as error:
        raise UsageError(f"the arguments cannot be put together: {error} (--import)") from error
    return tuple(args), dict(kwargs)


# ------------------------------------------------------------------------------------------------- files


def _read(word: str, specs: Sequence[InputSpec]) -> Iterator[Given]:
    """The values of a file. Raises UsageError."""
    name, is_named, rest = word.partition("=")
    # A file may have the character in its name.
    if not is_named or Path(word).exists():
        name, rest = "", word
    file = Path(rest)
    names = [spec.name for spec in specs]
    if name and name not in names:
        takes = f"takes {', '.join(names)}" if names else "takes none"
        raise UsageError(f"the program has no input {name}, it {takes}{did_you_mean(name, names)}")
    suffix = file.suffix.lower()
    if suffix in images.SUFFIXES | tokens.SUFFIXES:
        yield Given(name, bool(name), file)
        return
    arrays = _of_safetensors(file) if suffix == ".safetensors" else _of_numpy(file)
    if name and len(arrays) != 1:
        raise UsageError(f"{file} has {len(arrays)} arrays, {name}=... takes one: give the file alone")
    yield from (Given(name or own, bool(name), file, array) for own, array in arrays)


def _of_numpy(file: Path) -> list[tuple[str, np.ndarray]]:
    """The arrays of a file with their names in the .npz, if they have one."""
    try:
        content = np.load(file, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return [("", content)]
        with content:
            return [(name, content[name]) for name in content.files]
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror or error}") from error
    except _BAD_FILE as error:
        raise UsageError(
            f"{file} is not a .npy or .npz file that numpy reads without pickle: {first_line(error)}"
        ) from error


def _of_safetensors(file: Path) -> list[tuple[str, np.ndarray]]:
    weights = read_safetensors(file)
    # The program may write to its inputs, and must not to the file.
    return [(name, array.copy()) for name, array in materialise(weights, list(weights.views)).items()]


# ------------------------------------------------------------------------------------------ which is which


def _chosen(values: Sequence[Given], specs: Sequence[InputSpec]) -> dict[str, list[Given]]:
    """The values of each input: several only of images. Values with a name of the caller come first."""
    found: dict[str, list[Given]] = {}
    for given in values:
        if given.asked:
            found.setdefault(given.name, []).append(given)
    for name, several in found.items():
        if len(several) > 1 and not all(given.file.suffix.lower() in images.SUFFIXES for given in several):
            raise UsageError(f"input {name} is given {len(several)} times: only images are put together")
    left = [spec for spec in specs if spec.name not in found]
    rest = [given for given in values if not given.asked]
    ordered = _in_order(rest, left, bool(found))
    return found | {spec.name: [given] for spec, given in zip(left, ordered, strict=True)}


def _in_order(values: Sequence[Given], specs: Sequence[InputSpec], is_rest: bool) -> Sequence[Given]:
    """One value per input: an .npz's by their names, else as they come. `is_rest`: others have theirs.

    Raises UsageError where there are more or fewer than inputs, or the names are others.
    """
    names = [spec.name for spec in specs]
    files = list(dict.fromkeys(given.file for given in values))
    shown = ", ".join(map(str, files))
    if len(values) != len(specs):
        named = ", ".join(given.name for given in values if given.name)
        given = f"{shown} has {len(values)}" if files else "none was given"
        how = "give each with --input" if not files else "give one file each, or all in one .npz"
        listed = f" ({', '.join(names)})" if names else ""
        more = " more" if is_rest else ""
        plural = "" if len(names) == 1 else "s"
        named = f" (the arrays are {named})" if named else ""
        raise UsageError(f"the program takes {len(names)}{more} input{plural}{listed}, {given}; {how}{named}")
    by_name = {given.name: given for given in values}
    if set(by_name) == set(names):
        return [by_name[name] for name in names]
    # numpy.savez names an array without a name by its place.
    if set(by_name) == {f"arr_{index}" for index in range(len(names))}:
        return [by_name[f"arr_{index}"] for index in range(len(names))]
    known = [given.name for given in values if given.name]
    if not known:
        return values
    near = did_you_mean(next((name for name in known if name not in names), ""), names)
    listed = ", ".join(given.name or "an array without a name" for given in values)
    raise UsageError(
        f"{shown} has {listed}, the program takes {', '.join(names)}: name each array as its input{near}"
    )


# ------------------------------------------------------------------------------------------------- values


def _value(given: Sequence[Given], spec: InputSpec, lowered: Planned, resize: bool) -> Any:
    """The array of an input; the program's own checks refuse one that does not fit."""
    type_ = lowered.program.graph.values[spec.name]
    first = given[0]
    if first.array is not None:
        return _as_input(first.array, type_)
    if first.file.suffix.lower() in tokens.SUFFIXES:
        array = tokens.read_tokens(first.file, spec.name, type_)
        note(f"input {spec.name}: {list(array.shape)}, tokens from {first.file}")
        return array
    read = images.read_images([item.file for item in given], spec.name, type_, resize)
    note(read.made)
    return read.array


def _as_torch(array: np.ndarray, spec: InputSpec) -> Any:
    try:
        return numpy_to_torch(np.ascontiguousarray(array).reshape(array.shape))
    except TypeError as error:
        raise UsageError(f"input {spec.name}: {error}") from error


def _as_input(array: np.ndarray, type_: Any) -> Any:
    if isinstance(type_, SymType):
        return array.item() if array.ndim == 0 else array
    if isinstance(type_, TensorType) and _has_no_numpy_name(type_.dtype):
        bits = BITS[type_.dtype.itemsize]
        return array.view(numpy_dtype(type_.dtype)) if array.dtype == bits else array
    return array


def _has_no_numpy_name(dtype: DType) -> bool:
    return dtype is DType.BFLOAT16 or dtype.value.startswith("float8")
