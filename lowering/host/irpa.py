"""Parameter archives (`.irpa`): weights on disk, 64-byte aligned, so that they are mapped, not copied.

The format is a header, a table of entries, a block of names and metadata, and the storage. It is written
here, not by an engine's library: tied weights are stored once, without an engine. Each entry's metadata is
our JSON of its dtype and sizes.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lowering.host.tensors import ALIGNMENT, address, dtype_of, numpy_dtype
from lowering.host.weights import WeightError
from lowering.ir.types import DType

_MAGIC = b"IRPA"
# magic, major, minor, header size, next header, flags, entry count, then (offset, length) of the entries,
# the metadata block and the storage
_HEADER = struct.Struct("<4sHHQQQQQQQQQQ")
# entry size, type, flags, then (offset, length) of the name and of the metadata, alignment, (offset, length)
# of the data
_ENTRY = struct.Struct("<QIQQQQQQQQ")
_ENTRY_STEP = 80
_DATA = 2
_MAX_ENTRIES = 1 << 20
_CHUNK = 1 << 24
_PAGE = 4096


def write_irpa(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write the arrays, by name, as one archive.

    Names that share one array (tied weights) share its bytes. Memory use is bounded: data goes out in chunks.
    """
    places: dict[tuple[int, int], int] = {}
    end = 0
    entries, texts = bytearray(), bytearray()
    ordered: list[tuple[int, np.ndarray]] = []
    for name, array in arrays.items():
        if not array.flags.c_contiguous:
            raise WeightError(f"weight {name!r} is not row-major")
        key = (address(array), array.nbytes)
        if key not in places:
            places[key] = end
            ordered.append((end, array))
            end = _align(end + array.nbytes)
        label = name.encode()
        note = json.dumps({"dtype": dtype_of(array).value, "sizes": list(array.shape)}).encode()
        at = len(texts)
        entries += _ENTRY.pack(
            _ENTRY.size,
            _DATA,
            0,
            at,
            len(label),
            at + len(label),
            len(note),
            ALIGNMENT,
            places[key],
            array.nbytes,
        ).ljust(_ENTRY_STEP, b"\0")
        texts += label + note
    entries_at = _align(_HEADER.size)
    texts_at = entries_at + len(entries)
    data_at = _align(texts_at + len(texts), _PAGE)
    header = _HEADER.pack(
        _MAGIC,
        0,
        0,
        _HEADER.size,
        0,
        0,
        len(arrays),
        entries_at,
        len(entries),
        texts_at,
        len(texts),
        data_at,
        end,
    )
    with open(path, "wb") as file:
        file.write(header.ljust(entries_at, b"\0") + entries + texts)
        for offset, array in ordered:
            file.seek(data_at + offset)
            _write(file, array)
        file.truncate(data_at + end)


def read_irpa(file: BinaryIO) -> dict[str, np.ndarray]:
    """The arrays of an archive that `write_irpa` wrote: read-only views of one mapping of the file.

    The file may be closed afterwards. Entries with the same bytes, dtype and sizes give one array. Raises
    WeightError for a damaged file.
    """
    path = file.name
    size = os.fstat(file.fileno()).st_size
    if size < _HEADER.size:
        raise WeightError(f"{path}: not a parameter archive: it has {size} bytes")
    raw = np.memmap(file, np.uint8, "r")
    data = memoryview(raw.data)
    magic, major, _, _, _, _, count, *segments = _HEADER.unpack_from(data)
    if magic != _MAGIC or major != 0:
        raise WeightError(f"{path}: not a parameter archive of version 0")
    if count > _MAX_ENTRIES:
        raise WeightError(f"{path}: {count} entries are more than {_MAX_ENTRIES}")
    table = _part(path, data, segments[0], segments[1])
    texts = _part(path, data, segments[2], segments[3])
    storage_at, storage_size = segments[4:]
    _part(path, data, storage_at, storage_size)
    if count and len(table) < (count - 1) * _ENTRY_STEP + _ENTRY.size:
        raise WeightError(f"{path}: the table of {count} entries is cut off")
    shared: dict[tuple[int, DType, tuple[int, ...]], np.ndarray] = {}
    result: dict[str, np.ndarray] = {}
    for index in range(count):
        entry = _ENTRY.unpack_from(table, index * _ENTRY_STEP)
        _, kind, _, name_at, name_size, note_at, note_size, _, start, nbytes = entry
        try:
            name = bytes(_part(path, texts, name_at, name_size)).decode()
            note = json.loads(bytes(_part(path, texts, note_at, note_size)))
            dtype = DType(note["dtype"])
            sizes = tuple(int(n) for n in note["sizes"])
        except (ValueError, KeyError, TypeError):
            raise WeightError(f"{path}: entry {index} does not say its name, dtype and sizes") from None
        fits = min(sizes, default=0) >= 0 and prod(sizes) * dtype.itemsize == nbytes
        if kind != _DATA or not fits or start % ALIGNMENT or start + nbytes > storage_size:
            raise WeightError(f"{path}: entry {name!r} does not fit the file")
        if name in result:
            raise WeightError(f"{path}: two entries are named {name!r}")
        key = (start, dtype, sizes)
        if key not in shared:
            shared[key] = np.ndarray(sizes, numpy_dtype(dtype), buffer=raw, offset=storage_at + start)
        result[name] = shared[key]
    return result


def _part(path: str, data: memoryview, start: int, length: int) -> memoryview:
    if start + length > len(data):
        raise WeightError(f"{path}: the archive is cut off: byte {start + length} is past its end")
    return data[start : start + length]


def _align(offset: int, to: int = ALIGNMENT) -> int:
    return -(-offset // to) * to


def _write(file: BinaryIO, array: np.ndarray) -> None:
    flat = array.reshape(-1).view(np.uint8)
    for start in range(0, flat.nbytes, _CHUNK):
        file.write(flat[start : start + _CHUNK].data)
