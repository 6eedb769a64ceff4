"""Weights of tensors and arrays in memory: views of their own bytes, never copies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lowering.frontend.pt2.errors import Malformed
from lowering.ir.types import DType
from lowering.ir.weights import Storage, Weights, WeightView, absent_storage

if TYPE_CHECKING:
    import torch


def weights_in_memory(named: Mapping[str, Any]) -> Weights:
    """Every torch tensor and numpy array of a mapping, as views of as few storages as there are.

    Fake and meta tensors have types and no values (`Storage.absent`). Weights on another device than the CPU
    are copied, each time that they are opened. Raises Malformed.
    """
    storages: dict[str, Storage] = {}
    views: dict[str, WeightView] = {}
    keys: dict[object, str] = {}
    for name, value in named.items():
        if isinstance(value, np.ndarray):
            key = keys.setdefault(id(value), f"storage_{len(keys)}")
            storages[key], views[name] = _of_array(name, key, value)
            continue
        plain = _plain_tensor(name, value)
        if plain is None:
            continue
        key = keys.setdefault(_identity(plain, len(keys)), f"storage_{len(keys)}")
        if key not in storages:
            storages[key] = _storage(plain)
        dtype = _dtype(name, plain.dtype)
        views[name] = WeightView(
            key, dtype, tuple(plain.shape), tuple(plain.stride()), int(plain.storage_offset())
        )
    return Weights(storages, views)


def _of_array(name: str, key: str, array: np.ndarray) -> tuple[Storage, WeightView]:
    dense = np.ascontiguousarray(array)
    try:
        dtype = DType(dense.dtype.name)
    except ValueError:
        raise Malformed(f"the weight {name!r} has the dtype {dense.dtype}, which is not known") from None
    raw = dense.reshape(-1).view(np.uint8)
    strides = tuple(step // dense.itemsize for step in dense.strides)
    return Storage(raw.nbytes, lambda: raw), WeightView(key, dtype, tuple(array.shape), strides)


def _has_no_values(tensor: torch.Tensor) -> bool:
    from torch._subclasses import FakeTensor

    return isinstance(tensor, FakeTensor) or tensor.device.type == "meta"


def _identity(tensor: torch.Tensor, number: int) -> object:
    """Equal for tensors that share their bytes. Storages that are empty or absent have no address."""
    storage = tensor.untyped_storage()
    if _has_no_values(tensor):
        return ("absent", storage._cdata)
    nbytes = storage.nbytes()
    return (str(tensor.device), storage.data_ptr() if nbytes else -number, nbytes)


def _storage(tensor: torch.Tensor) -> Storage:
    storage = tensor.untyped_storage()
    nbytes = int(storage.nbytes())
    return absent_storage(nbytes) if _has_no_values(tensor) else Storage(nbytes, _opener(storage))


def _plain_tensor(name: str, tensor: Any) -> torch.Tensor | None:
    """A weight as a plain strided tensor with its own bytes; None for a script object."""
    import torch
    from torch._subclasses import FakeTensor

    if not isinstance(tensor, torch.Tensor):
        return None
    plain = tensor.detach()
    if type(plain) not in (torch.Tensor, FakeTensor):
        raise Malformed(f"the weight {name!r} is a {type(plain).__name__}: only plain tensors can be used")
    if plain.layout is not torch.strided or plain.is_quantized:
        kind = "quantized" if plain.is_quantized else str(plain.layout)
        raise Malformed(f"the weight {name!r} is {kind}: only plain strided tensors can be used")
    # A conjugate or negative view has the bytes of what it is a view of.
    return plain.resolve_conj().resolve_neg()


def _dtype(name: str, dtype: torch.dtype) -> DType:
    try:
        return DType(str(dtype).removeprefix("torch."))
    except ValueError:
        raise Malformed(f"the weight {name!r} has the dtype {dtype}, which is not known") from None


def _opener(storage: torch.UntypedStorage) -> Callable[[], np.ndarray]:
    """Keeps the storage alive as long as anything may open it."""

    def open_storage() -> np.ndarray:
        import torch

        view = torch.empty(0, dtype=torch.uint8).set_(storage.cpu()).numpy()
        view.flags.writeable = False
        return view

    return open_storage
