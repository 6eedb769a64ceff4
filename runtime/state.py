"""What outlives a call: weights as ATen takes them, and the buffers that a program writes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lowering.host.tensors import (
    address,
    aligned_copy,
    numpy_to_torch,
    torch_dtype,
    torch_to_numpy,
    writable_alias,
)
from lowering.host.weights import WeightError, materialise
from lowering.ir.types import DType
from lowering.ir.weights import Weights

if TYPE_CHECKING:
    import torch


def torch_weights(
    weights: Weights, names: Iterable[str], private: Collection[str] = ()
) -> dict[str, torch.Tensor]:
    """The named weights as torch tensors with their own strides; views of one storage share memory.

    Nothing is copied but the storages that a name in `private` is a view of: those tensors may be written.
    Writing any other would write to the mapped file, or crash.
    Raises WeightError for a name that is missing or reaches outside its storage.
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


class State:
    """The buffers that a program writes, between calls: each a tensor of ours or an engine's handle.

    A call reads them, and a successful one replaces them all at once. Where nothing reads the old value any
    more, a call may write the new one into its memory: an engine into a donated argument's, ATen by operators
    in place. So nobody else may have a view of that memory.
    """

    def __init__(self, weights: Weights, names: Mapping[str, str]) -> None:
        """`names`: for each buffer's full name, the value that carries it into the program."""
        self.values_of = dict(names)
        self._weights = weights
        self.host: dict[str, Any] = {}
        self.handles: dict[str, Any] = {}
        self.reset()

    def reset(self) -> None:
        """Give every buffer the value that it has in the program."""
        views = self._weights.views
        # numpy has no complex32.
        only_torch = [n for n in self.values_of if n in views and views[n].dtype is DType.COMPLEX32]
        initial = materialise(self._weights, [name for name in self.values_of if name not in only_torch])
        self.host = {name: aligned_copy(array) for name, array in initial.items()}
        if only_torch:
            self.host |= torch_weights(self._weights, only_torch, private=only_torch)
        self.handles = {}

    def keep(self, handles: Mapping[str, Any], overwritten: Mapping[str, str]) -> None:
        """After a call that failed: in place of the values that it donated, those that lie there now."""
        targets = {value: name for name, value in self.values_of.items()}
        for old, new in overwritten.items():
            if new in handles:
                self.host.pop(targets[old], None)
                self.handles[targets[old]] = handles[new]

    def replace(self, host: Mapping[str, Any], handles: Mapping[str, Any]) -> None:
        """Take these values for their buffers; those not named stay as they are."""
        kept_host = {name: v for name, v in self.host.items() if name not in handles}
        kept_handles = {name: v for name, v in self.handles.items() if name not in host}
        self.host, self.handles = {**kept_host, **host}, {**kept_handles, **handles}


def base(tensor: Any) -> int:
    """The address of a tensor's storage: the same for all of ATen's views of one tensor."""
    if isinstance(tensor, np.ndarray):
        return address(tensor)
    # Of a sparse one nobody holds a view.
    return tensor.untyped_storage().data_ptr() if str(tensor.layout) == "torch.strided" else id(tensor)


def memory(tensor: Any) -> tuple[int, int]:
    """The address range that a tensor's elements lie in: start and end."""
    if isinstance(tensor, np.ndarray):
        return np.lib.array_utils.byte_bounds(tensor) if tensor.size else (0, 0)
    if not tensor.numel():
        return 0, 0
    start = tensor.data_ptr()
    span = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True)) + 1
    return start, start + span * tensor.element_size()


def overlap(one: Any, other: Any) -> bool:
    """Whether two tensors' address ranges meet."""
    start, end = memory(one)
    low, high = memory(other)
    return start < high and low < end


def private_copy(tensor: Any) -> Any:
    """A copy in memory of its own."""
    return aligned_copy(tensor) if isinstance(tensor, np.ndarray) else tensor.clone()


def in_kind(tensor: Any, is_torch: bool) -> Any:
    """A tensor as torch's or numpy's, without a copy."""
    if isinstance(tensor, np.ndarray):
        return numpy_to_torch(tensor) if is_torch else tensor
    return tensor if is_torch else torch_to_numpy(tensor)
