"""Weights from elsewhere than a program's own file: `read_state_dict(source)`. Nothing is read before use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from lowering.frontend.pt2.errors import Malformed
from lowering.frontend.state_dicts.errors import StateDictError
from lowering.frontend.state_dicts.folders import read_folder, read_index
from lowering.frontend.state_dicts.memory import weights_in_memory
from lowering.frontend.state_dicts.safetensors_files import read_safetensors
from lowering.frontend.state_dicts.torch_files import read_torch_file
from lowering.ir.weights import Weights

__all__ = ["StateDictError", "read_state_dict", "weights_in_memory"]


def read_state_dict(source: str | PathLike[str] | Mapping[str, Any]) -> Weights:
    """The weights of a state dict in memory, a `.safetensors` or `.pt` file, an index, or a folder of these.

    Files are mapped; a mapping's tensors and arrays are not copied. Raises StateDictError.
    """
    if isinstance(source, Mapping):
        try:
            found = weights_in_memory(source)
        except Malformed as problem:
            raise StateDictError("the state dict", str(problem)) from None
        return Weights({key: replace(s, borrowed=True) for key, s in found.storages.items()}, found.views)
    return _of_path(Path(source))


def _of_path(path: Path) -> Weights:
    if path.is_dir():
        return read_folder(path, _of_file)
    if not path.is_file():
        raise StateDictError(path, "no such file")
    return read_index(path, _of_file) if path.suffix == ".json" else _of_file(path)


def _of_file(path: Path) -> Weights:
    return read_safetensors(path) if path.suffix == ".safetensors" else read_torch_file(path)
