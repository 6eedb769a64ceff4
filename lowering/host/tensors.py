"""Tensors in host memory: element types by their three names, aligned allocation, zero-copy views.

Engines import memory without a copy only where it is dense, row-major and 64-byte aligned. torch is imported
inside the functions that take or make torch tensors.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from math import prod
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from lowering.ir.types import DType

if TYPE_CHECKING:
    import torch

ALIGNMENT = 64

# Dtypes that numpy itself does not have.
_ML_DTYPES = {
    dtype: getattr(ml_dtypes, dtype.value)
    for dtype in DType
    if hasattr(ml_dtypes, dtype.value) and not dtype.is_complex
}
_NUMPY = {
    dtype: np.dtype(_ML_DTYPES.get(dtype, dtype.value)) for dtype in DType if dtype is not DType.COMPLEX32
}
_FROM_NUMPY = {numpy_type: dtype for dtype, numpy_type in _NUMPY.items()}
_RAW = {1: np.dtype(np.uint8), 2: np.dtype(np.uint16)}


def numpy_dtype(dtype: DType) -> np.dtype:
    """The numpy element type; raises TypeError for complex32, which numpy lacks."""
    try:
        return _NUMPY[dtype]
    except KeyError:
        raise TypeError(f"numpy has no {dtype} element type") from None


def dtype_of(tensor: Any) -> DType:
    """The element type of a numpy array or torch tensor; raises TypeError for one that is not a DType."""
    if isinstance(tensor, np.ndarray):
        try:
            return _FROM_NUMPY[tensor.dtype]
        except KeyError:
            raise TypeError(f"no tensor has numpy's element type {tensor.dtype}") from None
    return _of_torch(tensor.dtype)


@cache
def _of_torch(dtype: torch.dtype) -> DType:
    name = str(dtype)
    try:
        return DType(name.removeprefix("torch."))
    except ValueError:
        raise TypeError(f"the element type {name} is not supported") from None


@cache
def torch_dtype(dtype: DType) -> torch.dtype:
    """torch's element type."""
    import torch

    return getattr(torch, dtype.value)


@cache
def raw_dtype(dtype: DType) -> np.dtype:
    """Dtypes of numpy's and torch's buffer exchange: unsigned integers in place of ml_dtypes' types."""
    return _RAW[dtype.itemsize] if dtype in _ML_DTYPES else numpy_dtype(dtype)


def address(array: np.ndarray) -> int:
    """Where the array's first element lies."""
    return array.__array_interface__["data"][0]


def is_aligned(array: np.ndarray) -> bool:
    """Whether the first element lies on a 64-byte boundary."""
    return address(array) % ALIGNMENT == 0


def empty(dtype: np.dtype, sizes: tuple[int, ...]) -> np.ndarray:
    """An uninitialised row-major array on a 64-byte boundary (one of no elements, too)."""
    nbytes = prod(sizes) * dtype.itemsize
    block = np.empty(nbytes + ALIGNMENT, np.uint8)
    start = -address(block) % ALIGNMENT
    return np.ndarray(sizes, dtype, buffer=block, offset=start)


def aligned_copy(array: np.ndarray) -> np.ndarray:
    """A row-major copy on a 64-byte boundary."""
    copy = empty(array.dtype, array.shape)
    copy[...] = array
    return copy


def aligned(array: np.ndarray) -> np.ndarray:
    """The array itself where it is row-major and aligned, else an aligned row-major copy."""
    return array if array.flags.c_contiguous and is_aligned(array) else aligned_copy(array)


def at_address(start: int, dtype: np.dtype, sizes: tuple[int, ...], owner: object) -> np.ndarray:
    """A writable row-major array over memory that lives as long as `owner`, which the array keeps alive."""
    block: Any = (ctypes.c_char * max(prod(sizes) * dtype.itemsize, 1)).from_address(start)
    block.owner = owner
    return np.ndarray(sizes, dtype, buffer=block)


def writable_alias(array: np.ndarray) -> np.ndarray:
    """The memory of a row-major array, marked writable, which a DLPack export of a read-only one needs.

    Only for engines that promise not to write their arguments.
    """
    return at_address(address(array), array.dtype, array.shape, array)


def torch_to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """A numpy view of a CPU tensor, strides and all; zero-copy.

    Lazily conjugated or negated tensors are resolved first, which copies them. Raises TypeError for element
    types that numpy lacks.
    """
    import torch

    dtype = dtype_of(tensor)
    target = numpy_dtype(dtype)
    tensor = tensor.detach().resolve_conj().resolve_neg()
    if dtype in _ML_DTYPES:
        return tensor.view(getattr(torch, raw_dtype(dtype).name)).numpy().view(target)
    return tensor.numpy()


def numpy_to_torch(array: np.ndarray) -> torch.Tensor:
    """A torch view of a numpy array; a copy if it is read-only, as torch has no such tensors."""
    import torch

    dtype = dtype_of(array)
    if not array.flags.writeable:
        array = aligned_copy(array)
    if dtype in _ML_DTYPES:
        return torch.from_numpy(array.view(raw_dtype(dtype))).view(torch_dtype(dtype))
    return torch.from_numpy(array)


@cache
def _torch_from_dlpack() -> Callable[[Any], torch.Tensor]:
    """torch's import of a DLPack capsule, looked up once, as import statements are not free.

    The one below `torch.utils.dlpack.from_dlpack`, whose checks of other objects cost as much again.
    """
    from torch._C import _from_dlpack  # pyright: ignore[reportPrivateImportUsage]

    return _from_dlpack


def torch_from_capsule(capsule: Any, dtype: DType) -> torch.Tensor:
    """A torch tensor of a DLPack capsule, which may have another type of that size."""
    tensor = _torch_from_dlpack()(capsule)
    wanted = torch_dtype(dtype)
    return tensor if tensor.dtype is wanted else tensor.view(wanted)
