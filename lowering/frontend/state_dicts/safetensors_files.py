"""Weights of a `.safetensors` file, mapped. The `safetensors` library checks and reads its header.

Files are written without the library: its interface for that has changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from lowering.frontend.mapped_zip import map_bytes
from lowering.frontend.state_dicts.errors import StateDictError
from lowering.host.drafts import draft_file
from lowering.host.tensors import dtype_of
from lowering.ir.types import DType, contiguous_strides
from lowering.ir.weights import FilePart, Storage, Weights, WeightView

_DTYPES = {
    "BOOL": DType.BOOL,
    "U8": DType.UINT8,
    "I8": DType.INT8,
    "U16": DType.UINT16,
    "I16": DType.INT16,
    "U32": DType.UINT32,
    "I32": DType.INT32,
    "U64": DType.UINT64,
    "I64": DType.INT64,
    "F16": DType.FLOAT16,
    "BF16": DType.BFLOAT16,
    "F32": DType.FLOAT32,
    "F64": DType.FLOAT64,
    "C64": DType.COMPLEX64,
    "F8_E4M3": DType.FLOAT8_E4M3FN,
    "F8_E5M2": DType.FLOAT8_E5M2,
    "F8_E8M0": DType.FLOAT8_E8M0FNU,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_LENGTH = 8


def read_safetensors(path: Path) -> Weights:
    """The tensors of a file. Raises StateDictError."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise StateDictError(
            path, "it needs the safetensors package: python -m pip install safetensors"
        ) from None
    storages: dict[str, Storage] = {}
    views: dict[str, WeightView] = {}
    try:
        with path.open("rb") as file:
            start = _LENGTH + int.from_bytes(file.read(_LENGTH), "little")
        with safe_open(path, framework="np") as tensors:
            # The library holds that the tensors follow each other without a gap, up to the file's end.
            for name in tensors.offset_keys():
                part = tensors.get_slice(name)
                dtype, sizes = _DTYPES.get(part.get_dtype()), tuple(part.get_shape())
                if dtype is None:
                    raise StateDictError(
                        path, f"the weight {name!r} has the dtype {part.get_dtype()}, which is not known"
                    )
                nbytes = prod(sizes) * dtype.itemsize
                storages[name] = _storage(path.absolute(), name, start, nbytes)
                views[name] = WeightView(name, dtype, sizes, contiguous_strides(sizes))
                start += nbytes
    except (SafetensorError, OSError) as problem:
        raise StateDictError(path, f"it cannot be read: {problem}") from None
    return Weights(storages, views)


def write_safetensors(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays, all or nothing. Raises StateDictError for a dtype that the format lacks, or OSError."""
    header: dict[str, Any] = {}
    end = 0
    # The format wants larger elements first, so that all are aligned.
    ordered = sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0]))
    for name, array in ordered:
        dtype = dtype_of(array)
        if dtype not in _NAMES:
            raise StateDictError(path, f"the format has no {dtype}, which {name!r} is of")
        offsets = [end, end + array.nbytes]
        header[name] = {"dtype": _NAMES[dtype], "shape": list(array.shape), "data_offsets": offsets}
        end += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % _LENGTH)
    with draft_file(path) as (draft, file):
        file.write(len(text).to_bytes(_LENGTH, "little") + text)
        for _, array in ordered:
            file.write(array.tobytes())
        file.flush()
        draft.replace(path)


def _storage(path: Path, name: str, start: int, nbytes: int) -> Storage:
    return Storage(nbytes, lambda: map_bytes(path, name, start, nbytes), part=FilePart(path, start))
