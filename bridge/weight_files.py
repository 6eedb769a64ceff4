"""Weights in an artifact: a parameter archive plus a table of views over its entries."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bridge.referenced_weights import Files, open_files, storage_of
from lowering.host.irpa import read_irpa, write_irpa
from lowering.host.weights import materialise
from lowering.ir.types import DType, contiguous_strides, view_nbytes
from lowering.ir.weights import Storage, Weights, WeightView, absent_storage

# A name with this prefix is not an entry of the archive: the program was exported without values.
_ABSENT = "absent:"
# The name, among those of weights, of the files that others lie in.
_FILES = ""


def save_weights(path: Path, weights: Weights) -> dict[str, Any]:
    """Write the archive and return the table `{name: [entry, dtype, sizes, strides, offset]}`.

    A weight that shares its storage with equal views alone is an entry of its own name, dense and row-major.
    Views that overlap otherwise keep their common storage, as raw bytes. So does a weight of a dtype that
    numpy lacks. A weight without values has no entry. One that is to be referred to has a list in the place
    of the entry: a row of the files, which are under an empty name, first byte and count of bytes.
    """
    views_of: dict[str, list[str]] = defaultdict(list)
    for name, view in weights.views.items():
        views_of[view.storage].append(name)
    arrays: dict[str, np.ndarray] = {}
    table: dict[str, Any] = {}
    files = Files()
    for storage, names in views_of.items():
        if weights.storages[storage].absent:
            for name in names:
                view = weights.views[name]
                row = [view.dtype.value, list(view.sizes), list(view.strides), view.offset]
                table[name] = [f"{_ABSENT}{storage}", *row]
            continue
        place = files.entry(weights.storages[storage])
        if place is not None:
            for name in names:
                view = weights.views[name]
                table[name] = [place, view.dtype.value, list(view.sizes), list(view.strides), view.offset]
            continue
        first = weights.views[names[0]]
        equal = all(weights.views[name] == first for name in names)
        if equal and first.dtype is not DType.COMPLEX32:
            arrays.update(materialise(weights, names))
            for name in names:
                table[name] = [name, first.dtype.value, list(first.sizes), None, 0]
            continue
        entry = f"storage/{storage}"
        while entry in weights.views:
            entry += "_"
        arrays[entry] = weights.storages[storage].open()[: weights.storages[storage].nbytes]
        for name in names:
            view = weights.views[name]
            table[name] = [entry, view.dtype.value, list(view.sizes), list(view.strides), view.offset]
    write_irpa(path, arrays)
    rows = files.rows()
    return {**table, _FILES: rows} if rows else table


_NOTHING = np.empty(0, np.uint8)


def load_weights(archive: BinaryIO, table: dict[str, Any]) -> Weights:
    """The weights of an artifact, mapped. The archive may be closed afterwards.

    Raises ValueError, TypeError, KeyError or WeightError where the files are not as `save_weights` writes,
    ArtifactError for a file of weights that has changed.
    """
    if not isinstance(table, dict):
        raise ValueError("it is not a table of weights")
    arrays = read_irpa(archive)
    files = open_files(table.get(_FILES, []))
    storages: dict[str, Storage] = {}
    views: dict[str, WeightView] = {}
    keys: dict[tuple[int, int], str] = {}
    for name, row in table.items():
        if name == _FILES:
            continue
        entry, dtype, sizes, strides, offset = row
        absent = isinstance(entry, str) and entry.startswith(_ABSENT)
        elsewhere = isinstance(entry, list)
        array = _NOTHING if absent or elsewhere else arrays[entry]
        if strides is None:
            strides = contiguous_strides(tuple(sizes))
        if not _are_counts(sizes) or not _are_counts(strides) or not _are_counts([offset]):
            raise ValueError(f"the weight {name!r} has no sizes, strides and offset")
        if len(sizes) != len(strides):
            raise ValueError(f"the weight {name!r} has {len(sizes)} sizes and {len(strides)} strides")
        if absent:
            nbytes = view_nbytes(DType(dtype), tuple(sizes), tuple(strides), offset)
            known = storages[entry].nbytes if entry in storages else 0
            storages[entry] = absent_storage(max(nbytes, known))
            views[name] = WeightView(entry, DType(dtype), tuple(sizes), tuple(strides), offset)
            continue
        if elsewhere:
            key, storage = storage_of(files, entry)
            storages.setdefault(key, storage)
            views[name] = WeightView(key, DType(dtype), tuple(sizes), tuple(strides), offset)
            continue
        # Tied weights are entries over the same bytes: one storage.
        place = (array.__array_interface__["data"][0], array.nbytes)
        key = keys.setdefault(place, entry) if array.nbytes else entry
        storages.setdefault(key, _storage(array))
        views[name] = WeightView(key, DType(dtype), tuple(sizes), tuple(strides), offset)
    return Weights(storages, views)


def _are_counts(numbers: Any) -> bool:
    return isinstance(numbers, list | tuple) and all(type(n) is int and n >= 0 for n in numbers)


def _storage(array: np.ndarray) -> Storage:
    raw = array.reshape(-1).view(np.uint8)
    return Storage(raw.nbytes, lambda: raw)
