"""Weights of a `.pt` file that `torch.save` wrote: a zip of one pickle and one entry per storage, mapped."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lowering.frontend.errors import ArchiveError
from lowering.frontend.mapped_zip import MappedZip
from lowering.frontend.state_dicts.errors import StateDictError, UnknownPickle
from lowering.frontend.state_dicts.memory import weights_in_memory
from lowering.frontend.state_dicts.pickled import StoredTensor, check_pickle, read_pickle
from lowering.ir.types import view_nbytes
from lowering.ir.weights import Storage, Weights, WeightView

#: Names under which checkpoints keep their state dict beside other things.
NESTED = ("state_dict", "model_state_dict", "model")
# A pickle of 64 MiB describes some 500,000 tensors.
_MAX_PICKLE = 64 << 20
# A file of before torch 1.6 begins with a number, a version, the machine, the value, and the storages' names.
_OLD_PICKLES = 5


def read_torch_file(path: Path) -> Weights:
    """The tensors of a state dict, mapped. No pickle is executed, and torch is not imported.

    torch's `weights_only` reader takes a file that holds other objects, or that torch wrote before 1.6.
    Raises StateDictError, also where torch is needed and is not there.
    """
    if not _is_zip(path):
        _check_old(path)
        return _by_torch(path, "it is not a zip archive, as torch.save writes since torch 1.6")
    try:
        with MappedZip(path, "a .pt file of weights", "torch.save") as archive:
            if "byteorder" in archive and archive.content("byteorder", 100).strip() != b"little":
                raise StateDictError(path, "the byte order is not little; only that can be read")
            pickle = archive.content("data.pkl", _MAX_PICKLE)
            try:
                content = read_pickle(path, pickle)
            except UnknownPickle as problem:
                check_pickle(path, io.BytesIO(pickle))
                return _by_torch(path, problem.problem)
            return _located(path, state_dict_of(path, content, StoredTensor), archive)
    except ArchiveError as problem:
        raise StateDictError(path, problem.problem) from None


def _check_old(path: Path) -> None:
    try:
        with path.open("rb") as file:
            content = io.BytesIO(file.read(_MAX_PICKLE))
    except OSError as problem:
        raise StateDictError(path, f"it cannot be read: {problem.strerror}") from None
    for _ in range(_OLD_PICKLES):
        check_pickle(path, content)


def _is_zip(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile as problem:
        raise StateDictError(path, f"it is damaged: {problem}") from None


def state_dict_of(source: str | Path, content: Any, tensor: type) -> dict[str, Any]:
    """The tensors of a state dict by name: of the mapping itself, or of one of its entries `NESTED`."""
    for found in (content, *(content.get(key) for key in NESTED if isinstance(content, Mapping))):
        if isinstance(found, Mapping):
            tensors = {name: value for name, value in found.items() if isinstance(value, tensor)}
            if tensors and all(isinstance(name, str) for name in tensors):
                return tensors
    if isinstance(content, Mapping):
        keys = ", ".join(f"{key!s:.60}" for key in list(content)[:8])
        raise StateDictError(source, f"it has no tensors by name; its entries are: {keys or 'none'}")
    raise StateDictError(source, f"it holds a {type(content).__name__}, not a state dict")


def _located(path: Path, named: Mapping[str, StoredTensor], archive: MappedZip) -> Weights:
    storages: dict[str, Storage] = {}
    views: dict[str, WeightView] = {}
    for name, tensor in named.items():
        key = tensor.storage.key
        if key not in storages:
            storages[key] = archive.storage(f"data/{key}")
        needed = view_nbytes(tensor.dtype, tensor.sizes, tensor.strides, tensor.offset)
        if needed > storages[key].nbytes:
            raise StateDictError(
                path, f"the weight {name!r} needs {needed} bytes, its storage has {storages[key].nbytes}"
            )
        views[name] = WeightView(key, tensor.dtype, tensor.sizes, tensor.strides, tensor.offset)
    return Weights(storages, views)


def _by_torch(path: Path, reason: str) -> Weights:
    try:
        import torch
    except ImportError:
        raise StateDictError(path, f"{reason}; torch can read it, and is not installed") from None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # the file decides what torch raises
        first = next(iter(str(problem).splitlines()), type(problem).__name__)
        raise StateDictError(path, f"torch cannot read it: {first}") from None
    return weights_in_memory(state_dict_of(path, content, torch.Tensor))
