"""The memory of a tensor, torch's or numpy's: its storage, overlaps, copies, strides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lowering.host.tensors import address, aligned_copy, numpy_to_torch, torch_to_numpy
from lowering.ir.symbols import Scalar, evaluate
from lowering.ir.types import TensorType, contiguous_strides


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


def same_elements(one: Any, other: Any) -> bool:
    """Whether two tensors are the same elements in memory, in the same order."""
    return _places(one) == _places(other)


def _places(tensor: Any) -> tuple[object, ...]:
    if isinstance(tensor, np.ndarray):
        return address(tensor), tensor.itemsize, tensor.shape, tensor.strides
    if str(tensor.layout) != "torch.strided":
        return (id(tensor),)
    size = tensor.element_size()
    return tensor.data_ptr(), size, tuple(tensor.shape), tuple(step * size for step in tensor.stride())


def private_copy(tensor: Any) -> Any:
    """A copy in memory of its own."""
    return aligned_copy(tensor) if isinstance(tensor, np.ndarray) else tensor.clone()


def write(source: Any, given: Any) -> None:
    """Give a tensor of the caller's the elements of another one, of the same dtype and sizes."""
    if isinstance(given, np.ndarray):
        given[...] = in_kind(source, is_torch=False)
    else:
        given.detach().copy_(in_kind(source, is_torch=True))


def in_kind(tensor: Any, is_torch: bool) -> Any:
    """A tensor as torch's or numpy's, without a copy."""
    if isinstance(tensor, np.ndarray):
        return numpy_to_torch(tensor) if is_torch else tensor
    return tensor if is_torch else torch_to_numpy(tensor)


def torch_can_view(array: np.ndarray) -> bool:
    return all(step >= 0 and step % array.itemsize == 0 for step in array.strides)


def with_strides(tensor: Any, type_: TensorType, symbols: Mapping[str, Scalar]) -> Any:
    """The tensor with the strides of its type, if they are others than row-major."""
    import torch

    strides = tuple(int(evaluate(step, symbols)) for step in type_.strides)
    sizes = tuple(tensor.shape)
    if strides == contiguous_strides(sizes) or 0 in sizes:
        return tensor
    options = {"dtype": tensor.dtype, "device": tensor.device}
    if not _shares_places(sizes, strides):
        return torch.empty_strided(sizes, strides, **options).copy_(tensor)
    # Elements in one place are equal; torch does not copy to such a tensor.
    steps = [torch.arange(size) * step for size, step in zip(sizes, strides, strict=True)]
    places = torch.stack(torch.meshgrid(steps, indexing="ij")).sum(0)
    memory = torch.empty(int(places.max()) + 1, **options)
    memory[places.to(tensor.device)] = tensor
    return memory.as_strided(sizes, strides)


def _shares_places(sizes: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether elements may lie in one place, as those of an expanded tensor do."""
    reach = 0
    for step, size in sorted(zip(strides, sizes, strict=True)):
        if size > 1 and step <= reach:
            return True
        reach += (size - 1) * step
    return False
