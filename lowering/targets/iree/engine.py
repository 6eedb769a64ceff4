"""The engine `iree`. Compiles in a child process; runs in a process that imports neither torch nor jax."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from ctypes import string_at
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from iree import runtime as rt
from iree.runtime.dtypes import map_dtype_to_hal_element_type
from iree.runtime.version import VERSION

from lowering.host.dlpack import Views, capsule_import
from lowering.host.machine import seal, unseal
from lowering.host.processor import processor
from lowering.host.shutdown import closed_at_exit
from lowering.host.tensors import (
    aligned,
    at_address,
    dtype_of,
    empty,
    numpy_dtype,
    numpy_to_torch,
    torch_from_capsule,
    torch_to_numpy,
)
from lowering.ir.dynamic_module import DynamicModule
from lowering.ir.errors import EngineError
from lowering.ir.module import Module
from lowering.ir.types import DType
from lowering.stablehlo.passes import StableHloPipeline
from lowering.targets.diagnostics import first_line
from lowering.targets.imports import ImportsTensors
from lowering.targets.iree.compile import compile_dynamic, compile_module, flags_for
from lowering.targets.iree.declared import FLOAT8, allocated, view_address
from lowering.targets.iree.drivers import device_of, driver_of
from lowering.targets.iree.executable import Handle, IreeExecutable, instance
from lowering.targets.iree.interface import MAIN_IN
from lowering.targets.iree.limits import explain
from lowering.targets.iree.memory import NEEDED
from lowering.targets.iree.pipeline import dynamic_pipeline, pipeline
from lowering.targets.target import Built, Kernel, Results, TargetOptions, this_machine

if TYPE_CHECKING:
    import torch

    from lowering.targets.iree.dynamic import DynamicExecutable


@closed_at_exit("compile", "load")
class Iree(ImportsTensors[Handle]):
    """The engine `iree`: CPU and CUDA."""

    name = "iree"
    handle = Handle
    _views = Views()

    def version(self) -> str:
        return f"{VERSION}+{processor().key}"

    def flags(self, target: TargetOptions) -> Sequence[str]:
        return flags_for(target)

    def pipeline(self, target: TargetOptions) -> StableHloPipeline:
        return pipeline(target.device, this_machine())

    def dynamic_pipeline(self, target: TargetOptions) -> StableHloPipeline:
        return dynamic_pipeline(target.device, this_machine())

    def compile(self, module: Module, target: TargetOptions) -> bytes:
        """Compile in a child process. `target.options`: see `compile_module`, and `driver` at load.

        Raises EngineError, with the node its first diagnostic points at.
        """
        return seal(self.name, self.version(), target.device, compile_module(module, target))

    def load(
        self, binary: bytes, module: Module, target: TargetOptions, weights: Mapping[str, np.ndarray]
    ) -> IreeExecutable:
        """Load a binary and bind its weights where they lie. Raises EngineError.

        `target.options["driver"]`: `local-sync` or `local-task`; by default `local-task` on more than one
        core unless the module's data is small.
        """
        payload = unseal(self.name, self.version(), target.device, binary)
        return IreeExecutable(self, payload, module, target, weights)

    def compile_dynamic(self, module: DynamicModule, target: TargetOptions) -> bytes:
        """One binary for all sizes that the module admits: see `lowering.targets.iree.compile`.

        Raises EngineError, with the operation that IREE does not compile so.
        """
        return seal(self.name, self.version(), target.device, compile_dynamic(module, target))

    def load_dynamic(
        self, binary: bytes, module: DynamicModule, target: TargetOptions, weights: Mapping[str, np.ndarray]
    ) -> DynamicExecutable:
        """Load a binary for all sizes; the arguments are those of `load`. Raises EngineError."""
        from lowering.targets.iree.dynamic import DynamicExecutable

        payload = unseal(self.name, self.version(), target.device, binary)
        loaded = IreeExecutable(self, payload, module.largest(), target, weights)
        return DynamicExecutable(loaded, module, lambda array: self.from_tensor(array, target))

    def trace(
        self, executable: IreeExecutable, built: Built, handles: Sequence[Handle], call: Callable[[], Results]
    ) -> tuple[Results, list[Kernel]]:
        """The results of `call`, and the dispatches of another run: IREE's own tool on copies of the data.

        On the CPU; elsewhere there are none.
        """
        if built.target.device != "cpu":
            return call(), []
        from lowering.targets.iree.profile import traced

        payload = unseal(self.name, self.version(), built.target.device, built.binary)
        return traced(executable, payload, built, [self.to_numpy(handle) for handle in handles], call)

    def temporary(self, binary: bytes, target: TargetOptions) -> int | None:
        """As the module's entry for given memory says it; a small module has none, and allocates itself."""
        payload = unseal(self.name, self.version(), target.device, binary)
        try:
            # A function reads its module's memory, and does not keep it.
            module = rt.VmModule.copy_buffer(instance(), payload)
            entry = module.lookup_function(MAIN_IN)
            needed = None if entry is None else entry.reflection.get(NEEDED)
        except Exception as error:
            raise EngineError(f"iree: cannot read the binary: {explain(first_line(error))}") from None
        return None if needed is None else int(needed)

    def read(self, handle: Handle, target: TargetOptions) -> bytes:
        if handle.device != "cpu":
            return self.to_numpy(handle).tobytes()
        return string_at(handle.start, handle.end - handle.start) if handle.start else b""

    def own(self, handle: Handle, target: TargetOptions) -> Handle:
        """The handle where its memory is IREE's, else one over a copy: not all writes to imported memory are
        allowed."""
        return handle if handle.owner is None else _owned(self.to_numpy(handle))

    def copied(self, handle: Handle, target: TargetOptions) -> Handle:
        """A handle over a copy, in memory of IREE's own."""
        array = self.to_numpy(handle)
        return _owned(array) if target.device == "cpu" else self._to_device(array, target)

    def to_numpy(self, handle: Handle) -> np.ndarray:
        if handle.device != "cpu":
            mapped = rt.DeviceArray(device_of(driver_of(handle.device)), handle.view).to_host()
            return mapped.view(numpy_dtype(handle.dtype)).reshape(handle.sizes)
        if handle.start == handle.end:
            return empty(numpy_dtype(handle.dtype), handle.sizes)
        return at_address(handle.start, numpy_dtype(handle.dtype), handle.sizes, handle)

    def to_torch(self, handle: Handle) -> torch.Tensor:
        foreign = handle.device != "cpu" or handle.owner is not None
        if foreign or handle.start == handle.end or handle.dtype in FLOAT8:
            return numpy_to_torch(self.to_numpy(handle))
        capsule = device_of("local-sync").create_dlpack_capsule(handle.view, 1, 0)
        return torch_from_capsule(capsule, handle.dtype)

    @staticmethod
    def _view(
        start: int, dtype: DType, sizes: tuple[int, ...]
    ) -> tuple[rt.HalBufferView, DType, tuple[int, ...], int, int, str]:
        count = prod(sizes)
        # IREE maps no memory without elements: such a view is of one byte, which nothing reads.
        mapped = sizes if count else (1,)
        raw = dtype if count and dtype not in FLOAT8 else DType.UINT8
        view = capsule_import(device_of("local-sync").from_dlpack_capsule, start, raw, mapped)
        if raw is not dtype:
            element = map_dtype_to_hal_element_type(numpy_dtype(dtype))
            assert element is not None, "IREE has an element type for each of ours"
            view = rt.HalBufferView(view.get_buffer(), list(sizes), element)
        return view, dtype, sizes, start, count * dtype.itemsize, "cpu"

    @classmethod
    def _to_device(cls, tensor: np.ndarray | torch.Tensor, target: TargetOptions) -> Handle:
        array = aligned(tensor if isinstance(tensor, np.ndarray) else torch_to_numpy(tensor.cpu()))
        view = allocated(array, device_of(driver_of(target.place)), rt.MemoryType.DEVICE_LOCAL)
        return Handle(view, dtype_of(array), array.shape, 0, 0, target.place)


def _owned(array: np.ndarray) -> Handle:
    """A copy in memory that IREE allocates on the CPU."""
    if not array.size:
        return Iree.from_numpy(array)
    device, dtype = device_of("local-sync"), dtype_of(array)
    view = allocated(array, device, rt.MemoryType.DEVICE_LOCAL | rt.MemoryType.HOST_VISIBLE)
    return Handle(view, dtype, array.shape, view_address(device, view, dtype in FLOAT8), array.nbytes, "cpu")
