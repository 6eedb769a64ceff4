"""jaxlib's client: XLA without tracing or jit. No other file of ours touches it."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import jax
import numpy as np
from jax.extend import backend as jax_backend
from jaxlib import _jax, xla_client  # pyright: ignore[reportAttributeAccessIssue]
from jaxlib.version import __version__ as jaxlib_version

from lowering.host.processor import Processor, processor
from lowering.ir.errors import EngineError
from lowering.targets.diagnostics import first_line
from lowering.targets.target import TargetOptions

# XLA's C++ logs a line for each refused module and each unknown CPU feature; errors are raised anyway.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

_TESTED = (0, 10)
_SURFACE = {
    _jax: ("dlpack_managed_tensor_to_buffer", "buffer_to_dlpack_managed_tensor"),
    xla_client: ("DeviceList", "make_cpu_client"),
    jax_backend: ("get_backend", "get_compile_options"),
}
#: The errors that XLA raises.
FAILURES = (jax.errors.JaxRuntimeError, ValueError, RuntimeError)
#: `XLA_FLAGS`, before `_hold_to` adds to them.
GIVEN_FLAGS = tuple(os.environ.get("XLA_FLAGS", "").split())


def check_surface() -> None:
    """Raise EngineError where this jaxlib lacks what is used of it."""
    missing = [name for owner, names in _SURFACE.items() for name in names if not hasattr(owner, name)]
    if missing:
        found = f"jaxlib {jaxlib_version} lacks {', '.join(missing)}"
        raise EngineError(f"xla: {found}; install jaxlib {_TESTED[0]}.{_TESTED[1]}")


def client_of(device: str, index: int = 0) -> tuple[Any, Any]:
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
    given, held = os.environ.get("XLA_FLAGS", ""), held_isa(target)
    if held and "--xla_cpu_max_isa" not in given:
        os.environ["XLA_FLAGS"] = f"{given} {held}".strip()


def held_isa(target: Processor) -> str:
    """XLA's flag for a processor that it is held to; empty for this machine's own."""
    return f"--xla_cpu_max_isa={_ISA_OF_LEVEL[target.name]}" if target.name in _ISA_OF_LEVEL else ""


@cache
def _cpu_device() -> Any:
    return client_of("cpu")[0].local_devices()[0]


def compile_options(overrides: dict[str, str]) -> Any:
    """XLA's own options, with these among them."""
    return jax_backend.get_compile_options(1, 1, env_options_overrides=overrides)


def load_binary(binary: bytes, name: str, target: TargetOptions) -> Any:
    """XLA's executable of its own binary. Raises EngineError."""
    client, devices = client_of(target.device, target.index)
    try:
        if target.index:
            # A binary runs on the first device where nothing else is said.
            ids = np.array([[device.id for device in devices]])
            assigned = jax_backend.get_compile_options(1, 1, device_assignment=ids)
            return client.deserialize_executable(binary, devices, assigned)
        return client.deserialize_executable(binary, devices)
    except FAILURES as error:
        raise EngineError(f"xla {name}: cannot load the binary: {first_line(error)}") from None


def taken(capsule: Any) -> Any:
    """An array over the memory of a DLPack capsule, on the CPU."""
    return _jax.dlpack_managed_tensor_to_buffer(capsule, _cpu_device(), None, None, 1)


def capsule_of(array: Any) -> Any:
    """A DLPack capsule of an array."""
    return _jax.buffer_to_dlpack_managed_tensor(array)


def copied_to(array: Any, device: str, index: int) -> Any:
    """A copy of an array, in memory of XLA's own on a device, once it is there."""
    target = next(iter(client_of(device, index)[1]))
    # A device of the host would alias memory whose owner may end.
    return jax.device_put(array, target, may_alias=False).block_until_ready()
