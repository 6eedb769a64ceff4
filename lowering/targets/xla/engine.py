"""The engine `xla`: XLA through jaxlib's client, without tracing or jit.

The only file that touches jaxlib's client. A raw executable checks nothing but byte sizes. So every handle
made here is dense and row-major; the caller checks dtypes and sizes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from ctypes import string_at
from functools import cache
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from lowering.host.dlpack import Views, capsule_import
from lowering.host.machine import cores, seal, unseal
from lowering.host.processor import Processor, processor
from lowering.host.shutdown import closed_at_exit
from lowering.host.tensors import (
    at_address,
    empty,
    numpy_dtype,
    numpy_to_torch,
    torch_from_capsule,
    torch_to_numpy,
)
from lowering.ir.errors import EngineError
from lowering.ir.module import Module, Port
from lowering.ir.types import DType
from lowering.stablehlo.passes import StableHloPipeline
from lowering.targets.diagnostics import first_error, first_line
from lowering.targets.imports import ImportsTensors
from lowering.targets.target import Built, Kernel, Results, TargetOptions, this_machine
from lowering.targets.xla.binary import Parts, pack, unpack
from lowering.targets.xla.donation import with_aliases
from lowering.targets.xla.hoisted import Made, shared_results
from lowering.targets.xla.pipeline import pipeline

# XLA's C++ logs a line for each refused module and each unknown CPU feature; errors are raised anyway.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

try:
    import jax
    from jax.extend import backend as jax_backend
    from jaxlib import _jax, xla_client  # pyright: ignore[reportAttributeAccessIssue]
    from jaxlib.version import __version__ as jaxlib_version
except ImportError:
    raise EngineError("XLA is not installed: python -m pip install jax jaxlib") from None

if TYPE_CHECKING:
    import torch

_TESTED = (0, 10)
_SURFACE = {
    _jax: ("dlpack_managed_tensor_to_buffer", "buffer_to_dlpack_managed_tensor"),
    xla_client: ("DeviceList", "make_cpu_client"),
    jax_backend: ("get_backend", "get_compile_options"),
}
_PROBE = """
module { func.func public @main(%x: tensor<f32>) -> tensor<f32> { return %x : tensor<f32> } }
"""
# Before `_hold_to` adds to them.
_GIVEN_FLAGS = tuple(os.environ.get("XLA_FLAGS", "").split())
_NO_YNN = ""
_YNN_DOTS = "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"
_WITH_YNN = frozenset({DType.FLOAT16, DType.BFLOAT16})


class Handle:
    """An XLA buffer and its element type and sizes: imported memory may bear an integer type of that size.

    `owner`: the owner of imported memory, None for XLA's own. XLA must not: see `lowering.host.dlpack`.
    """

    __slots__ = ("array", "dtype", "owner", "sizes")

    def __init__(self, array: Any, dtype: DType, sizes: tuple[int, ...], owner: Any = None) -> None:
        self.array = array
        self.dtype = dtype
        self.sizes = sizes
        self.owner = owner


@closed_at_exit("compile", "load")
class Xla(ImportsTensors[Handle]):
    """The engine `xla`: CPU and CUDA, static shapes."""

    name = "xla"
    handle = Handle
    _views = Views()

    def __init__(self) -> None:
        missing = [name for owner, names in _SURFACE.items() for name in names if not hasattr(owner, name)]
        if missing:
            found = f"jaxlib {jaxlib_version} lacks {', '.join(missing)}"
            raise EngineError(f"xla: {found}; install jaxlib {_TESTED[0]}.{_TESTED[1]}")

    def version(self) -> str:
        return f"{jaxlib_version}+{processor().key}"

    def flags(self, target: TargetOptions) -> Sequence[str]:
        """`XLA_FLAGS`, as the caller set them, and whether `_options` chooses for several cores."""
        # A process that holds XLA to a processor hands that flag on to its children; the version says it.
        given = [flag for flag in _GIVEN_FLAGS if flag != _held_isa(processor())]
        return (*given, "several cores" if cores() > 1 else "one core")

    def pipeline(self, target: TargetOptions) -> StableHloPipeline:
        return pipeline(target.device, this_machine())

    def compile(self, module: Module, target: TargetOptions) -> bytes:
        """Compile. Entries of `target.options` whose name starts with `xla_` are XLA's own options.

        Raises EngineError.
        """
        load = _compiled(module.load, target) if module.load is not None else None
        payload = pack(module, _compiled(module, target), load)
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
        loaded = _loaded(unpack(payload, "").main, "", target)
        try:
            return int(loaded.get_compiled_memory_stats().temp_size_in_bytes)
        except (AttributeError, jax.errors.JaxRuntimeError, RuntimeError):
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
        device = next(iter(_backend(target.device, target.index)[1]))
        array = jax.device_put(handle.array, device, may_alias=False)
        return Handle(array.block_until_ready(), handle.dtype, handle.sizes)

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
        return torch_from_capsule(_jax.buffer_to_dlpack_managed_tensor(handle.array), handle.dtype)

    @staticmethod
    def _view(start: int, dtype: DType, sizes: tuple[int, ...]) -> tuple[Any, DType, tuple[int, ...]]:
        # Unlike jax's own importer this keeps 64-bit types.
        return capsule_import(_take, start, dtype, sizes), dtype, sizes

    @classmethod
    def _to_device(cls, tensor: np.ndarray | torch.Tensor, target: TargetOptions) -> Handle:
        _, devices = _backend(target.device, target.index)
        host = cls.from_numpy(tensor if isinstance(tensor, np.ndarray) else torch_to_numpy(tensor.cpu()))
        # A device of the host would alias memory whose owner ends here.
        array = jax.device_put(host.array, next(iter(devices)), may_alias=False)
        return Handle(array.block_until_ready(), host.dtype, host.sizes)


class XlaExecutable:
    """A loaded XLA executable with its weights bound."""

    __slots__ = ("_arguments", "_loaded", "_made", "_name", "_outputs", "_slots", "_types", "_weights")

    def __init__(
        self,
        engine: Xla,
        parts: Parts,
        module: Module,
        target: TargetOptions,
        weights: Mapping[str, np.ndarray],
    ) -> None:
        self._name = module.name
        self._loaded = _loaded(parts.main, module.name, target)
        self._slots = tuple(at for at, source in enumerate(parts.inputs) if source is None)
        self._types = tuple((port.dtype, port.sizes) for port in module.outputs)
        # Until a call has shown that the binary gives what the module says.
        self._outputs: tuple[Port, ...] | None = module.outputs
        bound: dict[str, Handle] = {}

        def weight(name: str) -> Handle:
            if name not in weights:
                raise EngineError(f"xla {module.name}: the weight {name!r} was not given")
            if name not in bound:
                bound[name] = engine.from_tensor(weights[name], target)
            return bound[name]

        self._made: list[Made] = []
        if parts.load is not None:
            self._made = _results_at_load(
                parts, [weight(name) for name in parts.load_inputs], module.name, target
            )
            bound.clear()
        made = [result.array for result in self._made]
        if any(isinstance(source, int) and not 0 <= source < len(made) for source in parts.inputs):
            raise EngineError(
                f"xla {self._name}: cannot load the binary: its part for load time is another's"
            )
        self._arguments: list[Any] = [
            made[source] if isinstance(source, int) else weight(source).array if source is not None else None
            for source in parts.inputs
        ]
        self._weights = tuple(bound.values())

    def __call__(self, handles: Sequence[Handle]) -> list[Handle]:
        """Run, and wait: arguments are the caller's memory. Raises EngineError."""
        if len(handles) != len(self._slots):
            raise EngineError(f"xla {self._name}: {len(handles)} arguments given, {len(self._slots)} wanted")
        arguments = self._arguments.copy()
        for at, handle in zip(self._slots, handles):  # noqa: B905 - as many, and strict costs time
            arguments[at] = handle.array
        try:
            arrays = self._loaded.execute(arguments)
            for array in arrays:
                array.block_until_ready()
        except (jax.errors.JaxRuntimeError, ValueError, RuntimeError) as error:
            raise EngineError(f"xla {self._name}: {first_line(error)}") from None
        if self._outputs is not None:
            self._check(arrays, self._outputs)
        return [Handle(array, *type_) for array, type_ in zip(arrays, self._types)]  # noqa: B905 - as many

    def _check(self, arrays: Sequence[Any], ports: tuple[Port, ...]) -> None:
        """Raise EngineError where the binary is another module's than it says: reads are as large as the
        port. An executable's results are of the same types in every call."""
        if len(arrays) != len(ports):
            raise EngineError(
                f"xla {self._name}: the binary gives {len(arrays)} results, and the module says "
                f"{len(ports)}; compile the module anew"
            )
        for array, port in zip(arrays, ports, strict=True):
            if array.shape != port.sizes or array.dtype != numpy_dtype(port.dtype):
                raise EngineError(
                    f"xla {self._name}: the binary gives {port.name} as {list(array.shape)} of "
                    f"{array.dtype}, and the module says {list(port.sizes)} of {port.dtype}; "
                    "compile the module anew"
                )
        self._outputs = None

    @property
    def loaded(self) -> Any:
        """The executable of XLA's client."""
        return self._loaded

    def bare(self, handles: Sequence[Handle]) -> Callable[[], None]:
        """XLA's own call on these arguments, results waited for: the baseline of our cost."""
        arguments = self._arguments.copy()
        for at, handle in zip(self._slots, handles, strict=True):
            arguments[at] = handle.array

        def call() -> None:
            for array in self._loaded.execute(arguments):
                array.block_until_ready()

        return call


def _results_at_load(parts: Parts, weights: Sequence[Handle], name: str, target: TargetOptions) -> list[Made]:
    """The results of a load-time part on these weights. Raises EngineError."""

    def run() -> list[Any]:
        assert parts.load is not None
        try:
            arrays = _loaded(parts.load, name, target).execute([handle.array for handle in weights])
            for array in arrays:
                array.block_until_ready()
        except (jax.errors.JaxRuntimeError, ValueError, RuntimeError) as error:
            raise EngineError(f"xla {name}: the part for load time failed: {first_line(error)}") from None
        if len(arrays) != len(parts.made):
            raise EngineError(f"xla {name}: cannot load the binary: its part for load time is another's")
        return arrays

    starts = [handle.array.unsafe_buffer_pointer() for handle in weights]
    return shared_results(parts.made, weights, starts, target.place, run)


def _compiled(module: Module, target: TargetOptions) -> bytes:
    """XLA's own binary of a module. Raises EngineError."""
    backend, devices = _backend(target.device, target.index)
    options = _options(module, target)
    code = with_aliases(module) if module.donated else module.code
    try:
        loaded = backend.compile_and_load(code, devices, _compile_options(options))
        return backend.serialize_executable(loaded)
    except (jax.errors.JaxRuntimeError, ValueError, RuntimeError) as error:
        text, node = first_error(str(error))
        raise EngineError(f"xla {module.name}: {text or first_line(error)}", node) from None


def _loaded(binary: bytes, name: str, target: TargetOptions) -> Any:
    """XLA's executable of its own binary. Raises EngineError."""
    backend, devices = _backend(target.device, target.index)
    try:
        if target.index:
            # A binary runs on the first device where nothing else is said.
            ids = np.array([[device.id for device in devices]])
            assigned = jax_backend.get_compile_options(1, 1, device_assignment=ids)
            return backend.deserialize_executable(binary, devices, assigned)
        return backend.deserialize_executable(binary, devices)
    except (jax.errors.JaxRuntimeError, ValueError, RuntimeError) as error:
        raise EngineError(f"xla {name}: cannot load the binary: {first_line(error)}") from None


def _take(capsule: Any) -> Any:
    return _jax.dlpack_managed_tensor_to_buffer(capsule, _cpu_device(), None, None, 1)


def _backend(device: str, index: int = 0) -> tuple[Any, Any]:
    """The client of a kind of device, and the list of its one device of this index. Raises EngineError."""
    client, lists = _client(device)
    if index >= len(lists):
        raise EngineError(f"xla: there is no {device}:{index} here, but {len(lists)} of its kind, from 0 on")
    return client, lists[index]


@cache
def _client(device: str) -> tuple[Any, tuple[Any, ...]]:
    """The client of a kind of device, of which there is one, and a list for each of its devices."""
    if device not in ("cpu", "cuda"):
        raise EngineError(f"xla cannot run on the device {device!r}; it knows cpu and cuda")
    if device == "cpu":
        # A client of our own: the caller waits for results anyway. A small call that does not change threads
        # is a third faster.
        _hold_to(processor())
        client = xla_client.make_cpu_client(asynchronous=False)
        return client, (xla_client.DeviceList(tuple(client.local_devices()[:1])),)
    try:
        client = jax_backend.get_backend(device)
    except (RuntimeError, AssertionError):
        need = "python -m pip install 'jax-cuda12-plugin[with-cuda]' on a machine with an NVIDIA GPU"
        raise EngineError(f"xla: jax has no {device} backend here; it needs {need}") from None
    return client, tuple(xla_client.DeviceList((found,)) for found in client.local_devices())


# jaxlib itself needs AVX, and XLA's code for float16 needs the conversions of x86-64-v3.
_ISA_OF_LEVEL = {"x86-64-v2": "AVX2", "x86-64-v3": "AVX2", "x86-64-v4": "AVX512"}


def _hold_to(target: Processor) -> None:
    """Have XLA compile for no more than a processor has.

    XLA takes this from its variable alone, and reads that once: where jax was used before, it is too late.
    """
    given, held = os.environ.get("XLA_FLAGS", ""), _held_isa(target)
    if held and "--xla_cpu_max_isa" not in given:
        os.environ["XLA_FLAGS"] = f"{given} {held}".strip()


def _held_isa(target: Processor) -> str:
    """XLA's flag for a processor that it is held to; empty for this machine's own."""
    return f"--xla_cpu_max_isa={_ISA_OF_LEVEL[target.name]}" if target.name in _ISA_OF_LEVEL else ""


@cache
def _cpu_device() -> Any:
    return _backend("cpu")[0].local_devices()[0]


def _options(module: Module, target: TargetOptions) -> dict[str, str]:
    """XLA's options for this module: measured defaults where this jaxlib takes them, then the caller's."""
    given = {key: value for key, value in target.options.items() if key.startswith("xla_")}
    # Never round less often than the module says: eager's half-precision results depend on it.
    options: dict[str, str] = {"xla_allow_excess_precision": "False"}
    if target.device == "cpu":
        ports = (*module.inputs, *module.outputs)
        # Eigen's dots are faster on one thread in float32; YNN's have bfloat16 and scale over threads.
        ynn = cores() > 1 or any(port.dtype in _WITH_YNN for port in ports)
        options["xla_cpu_experimental_ynn_fusion_type"] = _YNN_DOTS if ynn else _NO_YNN
        target_cpu = processor()
        if target_cpu.has_avx512:
            # At 512 bits, this jaxlib's atan2 of a constant second argument is wrong.
            options["xla_cpu_prefer_vector_width"] = "256" if b"atan2" in module.code else "512"
    kept = {key: value for key, value in options.items() if _accepts(target.device, key, value)}
    for key, value in given.items():
        if not _accepts(target.device, key, value):
            raise EngineError(f"xla: this jaxlib refuses the option {key}={value}")
    return {**kept, **given}


@cache
def _accepts(device: str, key: str, value: str) -> bool:
    """Whether this jaxlib takes the option, found out by compiling a trivial module with it."""
    backend, devices = _backend(device)
    try:
        backend.compile_and_load(_PROBE, devices, _compile_options({key: value}))
    except (jax.errors.JaxRuntimeError, ValueError, RuntimeError):
        return False
    return True


def _compile_options(overrides: dict[str, str]) -> Any:
    return jax_backend.get_compile_options(1, 1, env_options_overrides=overrides)


def smoke() -> float:
    """Compile and run x + 1 for x = 41 through every surface this file uses; the result, 42."""
    code = "module { func.func public @main(%x: tensor<f32>) -> tensor<f32> {\n"
    code += "%c = stablehlo.constant dense<1.0> : tensor<f32>\n"
    code += "%y = stablehlo.add %x, %c : tensor<f32>\n return %y : tensor<f32> } }"
    backend, devices = _backend("cpu")
    loaded = backend.compile_and_load(code, devices, _compile_options({}))
    loaded = backend.deserialize_executable(backend.serialize_executable(loaded), devices)
    (result,) = loaded.execute([Xla.from_numpy(np.array(41.0, np.float32)).array])
    return float(np.asarray(result.block_until_ready()))
