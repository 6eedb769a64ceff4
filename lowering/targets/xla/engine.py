"""The engine `xla`: XLA through jaxlib's client, without tracing or jit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from ctypes import string_at
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from lowering.host.dlpack import Views, capsule_import
from lowering.host.machine import cores, seal, unseal
from lowering.host.processor import processor
from lowering.host.shutdown import closed_at_exit
from lowering.host.tensors import (
    at_address,
    empty,
    numpy_dtype,
    numpy_to_torch,
    torch_from_capsule,
    torch_to_numpy,
)
from lowering.ir.module import Module
from lowering.ir.types import DType
from lowering.stablehlo.passes import StableHloPipeline
from lowering.targets.imports import ImportsTensors
from lowering.targets.target import Built, Kernel, Results, TargetOptions, this_machine
from lowering.targets.xla.binary import pack, unpack
from lowering.targets.xla.client import (
    FAILURES,
    GIVEN_FLAGS,
    capsule_of,
    check_surface,
    client_of,
    compile_options,
    copied_to,
    held_isa,
    jaxlib_version,
    load_binary,
    taken,
)
from lowering.targets.xla.compile import compile_module
from lowering.targets.xla.executable import Handle, XlaExecutable
from lowering.targets.xla.pipeline import pipeline

if TYPE_CHECKING:
    import torch


@closed_at_exit("compile", "load")
class Xla(ImportsTensors[Handle]):
    """The engine `xla`: CPU and CUDA, static shapes."""

    name = "xla"
    handle = Handle
    _views = Views()

    def __init__(self) -> None:
        check_surface()

    def version(self) -> str:
        return f"{jaxlib_version}+{processor().key}"

    def flags(self, target: TargetOptions) -> Sequence[str]:
        """`XLA_FLAGS`, as the caller set them, and whether `options_for` chooses for several cores."""
        # A process that holds XLA to a processor hands that flag on to its children; the version says it.
        given = [flag for flag in GIVEN_FLAGS if flag != held_isa(processor())]
        return (*given, "several cores" if cores() > 1 else "one core")

    def pipeline(self, target: TargetOptions) -> StableHloPipeline:
        return pipeline(target.device, this_machine())

    def compile(self, module: Module, target: TargetOptions) -> bytes:
        """Compile. Entries of `target.options` whose name starts with `xla_` are XLA's own options.

        Raises EngineError.
        """
        load = compile_module(module.load, target) if module.load is not None else None
        payload = pack(module, compile_module(module, target), load)
        return seal(self.name, self.version(), target.device, payload)

    def load(
        self, binary: bytes, module: Module, target: TargetOptions, weights: Mapping[str, np.ndarray]
    ) -> XlaExecutable:
        """Load a binary, bind its weights where they lie, and run its load-time part. Raises EngineError."""
        payload = unseal(self.name, self.version(), target.device, binary)
        return XlaExecutable(self, unpack(payload, module.name), module, target, weights)

    def trace(
        self, executable: XlaExecutable, built: Built, handles: Sequence[Handle], call: Callable[[], Results]
    ) -> tuple[Results, list[Kernel]]:
        """The results of `call`, and its thunks. On the CPU; elsewhere there are none."""
        if built.target.device != "cpu":
            return call(), []
        from lowering.targets.xla.profile import traced

        return traced(executable.loaded, call)

    def temporary(self, binary: bytes, target: TargetOptions) -> int | None:
        """As XLA has planned its buffers."""
        payload = unseal(self.name, self.version(), target.device, binary)
        loaded = load_binary(unpack(payload, "").main, "", target)
        try:
            return int(loaded.get_compiled_memory_stats().temp_size_in_bytes)
        except (AttributeError, *FAILURES):
            return None

    def read(self, handle: Handle, target: TargetOptions) -> bytes:
        if target.device != "cpu":
            return self.to_numpy(handle).tobytes()
        size = prod(handle.sizes) * handle.dtype.itemsize
        return string_at(handle.array.unsafe_buffer_pointer(), size) if size else b""

    def own(self, handle: Handle, target: TargetOptions) -> Handle:
        """The handle where its memory is XLA's, else one over a copy: XLA does not overwrite other memory."""
        if handle.owner is None:
            return handle
        return Handle(copied_to(handle.array, target.device, target.index), handle.dtype, handle.sizes)

    def to_numpy(self, handle: Handle) -> np.ndarray:
        dtype = numpy_dtype(handle.dtype)
        if 0 in handle.sizes:
            return empty(dtype, handle.sizes)
        array = handle.array
        if array.device.platform != "cpu":
            return np.array(array).view(dtype).reshape(handle.sizes)
        return at_address(array.unsafe_buffer_pointer(), dtype, handle.sizes, handle)

    def to_torch(self, handle: Handle) -> torch.Tensor:
        if handle.owner is not None:
            return numpy_to_torch(self.to_numpy(handle))
        # Imported float8 is a view of bytes, and a result of it may come back as bytes.
        return torch_from_capsule(capsule_of(handle.array), handle.dtype)

    @staticmethod
    def _view(start: int, dtype: DType, sizes: tuple[int, ...]) -> tuple[Any, DType, tuple[int, ...]]:
        # Unlike jax's own importer this keeps 64-bit types.
        return capsule_import(taken, start, dtype, sizes), dtype, sizes

    @classmethod
    def _to_device(cls, tensor: np.ndarray | torch.Tensor, target: TargetOptions) -> Handle:
        host = cls.from_numpy(tensor if isinstance(tensor, np.ndarray) else torch_to_numpy(tensor.cpu()))
        return Handle(copied_to(host.array, target.device, target.index), host.dtype, host.sizes)


def smoke() -> float:
    """Compile and run x + 1 for x = 41 through every surface this file uses; the result, 42."""
    code = "module { func.func public @main(%x: tensor<f32>) -> tensor<f32> {\n"
    code += "%c = stablehlo.constant dense<1.0> : tensor<f32>\n"
    code += "%y = stablehlo.add %x, %c : tensor<f32>\n return %y : tensor<f32> } }"
    client, devices = client_of("cpu")
    loaded = client.compile_and_load(code, devices, compile_options({}))
    loaded = client.deserialize_executable(client.serialize_executable(loaded), devices)
    (result,) = loaded.execute([Xla.from_numpy(np.array(41.0, np.float32)).array])
    return float(np.asarray(result.block_until_ready()))
