"""Handles over tensors' memory, for all engines of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np

from lowering.host.dlpack import Views
from lowering.host.tensors import ALIGNMENT, address, aligned, dtype_of, empty, numpy_dtype, torch_to_numpy
from lowering.ir.errors import EngineError
from lowering.ir.types import DType
from lowering.targets.target import TargetOptions

if TYPE_CHECKING:
    import torch

H = TypeVar("H")


class ImportsTensors(Generic[H]):
    """The part of an engine that makes handles of tensors.

    `handle(*view, owner)` makes one of a view of memory on the CPU; `owner` keeps that memory.
    """

    name: ClassVar[str]
    handle: ClassVar[type]
    _views: ClassVar[Views[Any]]

    @staticmethod
    def _view(start: int, dtype: DType, sizes: tuple[int, ...]) -> tuple[Any, ...]:
        """A view of memory on the CPU: the fields of a handle, but for its owner."""
        raise NotImplementedError

    @classmethod
    def _to_device(cls, tensor: np.ndarray | torch.Tensor, target: TargetOptions) -> H:
        """A copy in the memory of an accelerator."""
        raise NotImplementedError

    def from_tensor(self, tensor: np.ndarray | torch.Tensor, target: TargetOptions) -> H:
        """A handle over the tensor's memory where that is on the CPU, dense and aligned; else over a copy."""
        if target.device != "cpu":
            return self._to_device(tensor, target)
        if isinstance(tensor, np.ndarray):
            return self.from_numpy(tensor)
        return self._from_torch(tensor)

    def from_known(self, tensor: torch.Tensor, target: TargetOptions) -> H:
        view = self._views.get((tensor.data_ptr(), tensor.dtype, tensor.shape))
        if view is None or target.device != "cpu":
            return self.from_tensor(tensor, target)
        return self.handle(*view, tensor)

    @classmethod
    def from_numpy(cls, array: np.ndarray) -> H:
        """A handle on the CPU, over the array's memory where that is dense and aligned."""
        dense = aligned(array)
        start = address(dense)
        key = (start, dense.dtype, dense.shape)
        view = cls._views.get(key) or cls._views.add(key, cls._view(start, dtype_of(dense), dense.shape))
        return cls.handle(*view, dense)

    @classmethod
    def _from_torch(cls, tensor: torch.Tensor) -> H:
        if not tensor.is_cpu:
            raise EngineError(f"{cls.name}: a tensor on {tensor.device} given, and the target is the cpu")
        start = tensor.data_ptr()
        # An engine looks at neither strides nor flags.
        if start % ALIGNMENT or not tensor.is_contiguous() or tensor.is_conj() or tensor.is_neg():
            return cls.from_numpy(torch_to_numpy(tensor))
        if tensor.numel() == 0:
            return cls.from_numpy(empty(numpy_dtype(dtype_of(tensor)), tuple(tensor.shape)))
        key = (start, tensor.dtype, tensor.shape)
        view = cls._views.get(key)
        if view is None:
            view = cls._views.add(key, cls._view(start, dtype_of(tensor), tuple(tensor.shape)))
        return cls.handle(*view, tensor)
