"""Weights, mapped rather than copied: dense arrays for engines, tensors with their own strides for torch."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

import numpy as np

from lowering.host.tensors import aligned, aligned_copy, numpy_dtype, torch_dtype, writable_alias
from lowering.ir.errors import BridgeError
from lowering.ir.weights import Weights, WeightView

if TYPE_CHECKING:
    import torch


class WeightError(BridgeError):
    """A weight is missing, or its description does not fit the bytes of its storage."""


def materialise(weights: Weights, names: Iterable[str]) -> dict[str, np.ndarray]:
    """The named weights, dense, row-major and 64-byte aligned.

    A view that is dense in an aligned storage is not copied, and is read-only where the storage is. Any other
    is copied once. Names whose views are equal share one array. No other storage is opened. Raises
    WeightError.
    """
    storages: dict[str, np.ndarray] = {}
    arrays: dict[WeightView, np.ndarray] = {}
    result: dict[str, np.ndarray] = {}
    for name in names:
        view = weights.views.get(name)
        if view is None:
            raise WeightError(f"the program has no weight named {name!r}")
        if view not in arrays:
            if view.storage not in storages:
                storages[view.storage] = _open(weights, name, view)
            arrays[view] = aligned(_strided(name, view, storages[view.storage]))
        result[name] = arrays[view]
    return result


def torch_weights(
    weights: Weights, names: Iterable[str], private: Collection[str] = ()
) -> dict[str, torch.Tensor]:
    """The named weights as torch tensors with their own strides; views of one storage share memory.

    Only the storages of names in `private` are copied: these tensors may be written. Writing any other would
    write to the mapped file, or crash. Raises WeightError for a name that is missing or reaches outside its
    storage.
    """
    import torch

    names = list(names)
    own = {weights.views[name].storage for name in private if name in weights.views}
    storages: dict[str, torch.Tensor] = {}
    result: dict[str, torch.Tensor] = {}
    for name in names:
        view = weights.views.get(name)
        if view is None or view.storage not in weights.storages:
            raise WeightError(f"the program has no weight named {name!r}")
        if view.storage not in storages:
            raw = weights.storages[view.storage].open()
            raw = aligned_copy(raw) if view.storage in own else writable_alias(raw)
            storages[view.storage] = torch.from_numpy(raw)
        whole = storages[view.storage]
        itemsize = view.dtype.itemsize
        typed = whole[: whole.numel() // itemsize * itemsize].view(torch_dtype(view.dtype))
        try:
            result[name] = typed.as_strided(view.sizes, view.strides, view.offset)
        except RuntimeError:
            raise WeightError(
                f"weight {name!r} reaches past the end of its storage {view.storage!r}"
            ) from None
    return result


def _open(weights: Weights, name: str, view: WeightView) -> np.ndarray:
    storage = weights.storages.get(view.storage)
    if storage is None:
        raise WeightError(f"weight {name!r} lies in storage {view.storage!r}, which does not exist")
    raw = storage.open()
    if raw.dtype != np.uint8 or raw.ndim != 1 or raw.nbytes < storage.nbytes:
        raise WeightError(
            f"weight {name!r}: storage {view.storage!r} has {raw.nbytes} bytes, not {storage.nbytes}"
        )
    return raw


def _strided(name: str, view: WeightView, raw: np.ndarray) -> np.ndarray:
    """The view over its storage's bytes, checked to lie inside them."""
    try:
        dtype = numpy_dtype(view.dtype)
    except TypeError as error:
        raise WeightError(f"weight {name!r}: {error}") from None
    lengths_fit = len(view.sizes) == len(view.strides)
    if not lengths_fit or min((*view.sizes, *view.strides, view.offset)) < 0:
        raise WeightError(
            f"weight {name!r} has sizes {view.sizes}, strides {view.strides}, offset {view.offset}"
        )
    if 0 in view.sizes:
        return np.empty(view.sizes, dtype)
    last = view.offset + sum((n - 1) * step for n, step in zip(view.sizes, view.strides, strict=True))
    if (last + 1) * dtype.itemsize > raw.nbytes:
        raise WeightError(
            f"weight {name!r} reaches element {last} of {dtype.name}, past the end of its storage "
            f"{view.storage!r} of {raw.nbytes} bytes"
        )
    strides = tuple(step * dtype.itemsize for step in view.strides)
    return np.ndarray(view.sizes, dtype, buffer=raw, offset=view.offset * dtype.itemsize, strides=strides)
