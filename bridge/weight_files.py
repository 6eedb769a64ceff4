"""Weights in an artifact: an IREE parameter archive plus a table of views over its entries."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from lowering.ir.types import DType
from lowering.ir.weights import Storage, Weights, WeightView
from runtime.irpa import read_irpa, write_irpa
from runtime.weights import materialise


def save_weights(path: Path, weights: Weights) -> dict[str, Any]:
    """Write the archive and return the table `{name: [entry, dtype, sizes, strides, offset]}`.

    A weight that shares its storage with nothing but equal views is an entry of its own name, dense and
    row-major, as other tools expect. Views that overlap otherwise keep their common storage, as raw bytes.
    """
    views_of: dict[str, list[str]] = defaultdict(list)
    for name, view in weights.views.items():
        views_of[view.storage].append(name)
    arrays: dict[str, np.ndarray] = {}
    table: dict[str, Any] = {}
    for storage, names in views_of.items():
        if len({weights.views[name] for name in names}) == 1:
            dense = materialise(weights, names)
            arrays.update(dense)
            for name in names:
                view = weights.views[name]
                table[name] = [name, view.dtype.value, list(view.sizes), None, 0]
        else:
            entry = f"storage/{storage}"
            arrays[entry] = weights.storages[storage].open()[: weights.storages[storage].nbytes]
            for name in names:
                view = weights.views[name]
                table[name] = [entry, view.dtype.value, list(view.sizes), list(view.strides), view.offset]
    write_irpa(path, arrays)
    return table


def load_weights(path: Path, table: dict[str, Any]) -> Weights:
    """The weights of an artifact, mapped. Raises ValueError or KeyError where table and archive disagree."""
    from lowering.ir.types import contiguous_strides

    arrays = read_irpa(path)
    storages: dict[str, Storage] = {}
    views: dict[str, WeightView] = {}
    keys: dict[tuple[int, int], str] = {}
    for name, (entry, dtype, sizes, strides, offset) in table.items():
        array = arrays[entry]
        # Tied weights are entries over the same bytes: one storage.
        place = (array.__array_interface__["data"][0], array.nbytes)
        key = keys.setdefault(place, entry) if array.nbytes else entry
        storages.setdefault(key, _storage(array))
        dense = contiguous_strides(tuple(sizes))
        views[name] = WeightView(
            key, DType(dtype), tuple(sizes), dense if strides is None else tuple(strides), offset
        )
    return Weights(storages, views)


def _storage(array: np.ndarray) -> Storage:
    raw = array.reshape(-1).view(np.uint8)
    return Storage(raw.nbytes, lambda: raw)
