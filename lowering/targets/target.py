"""The protocol every engine follows: compile a StableHLO module to bytes, load the bytes, call the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from lowering.ir.module import Module


@dataclass(frozen=True, slots=True)
class Target:
    """What an executable is compiled for. `device`: `cpu` or `cuda`. `options`: engine-specific, by name."""

    device: str = "cpu"
    options: Mapping[str, str] = field(default_factory=dict)


CPU = Target()


class Built(NamedTuple):
    """A module, the engine that it is for, and what that made of it; `preflight`: what it made of the
    module's preflight, if any."""

    module: Module
    binary: bytes
    engine: Engine
    target: Target = CPU
    preflight: bytes = b""


class Executable(Protocol):
    """A loaded module with its weights bound.

    Handles are the engine's own buffers. A call takes one handle per input port without a weight, in order,
    and returns one handle per output port; it returns when the results may be read. Arguments are only read,
    but for those that the module donates: their handles are of no use after the call, and their memory may be
    that of the result they are paired with.
    """

    def __call__(self, handles: Sequence[Any]) -> list[Any]: ...


class Engine(Protocol):
    """`iree` or `xla`. `handle`: the type of its handles, which tells them from another engine's."""

    name: str
    handle: type

    def version(self) -> str:
        """The engine's version and whatever else its binaries depend on (CPU features), as a cache key."""
        ...

    def compile(self, module: Module, target: Target) -> bytes:
        """Compile; raises EngineError with the engine's own first diagnostic."""
        ...

    def load(
        self, binary: bytes, module: Module, target: Target, weights: Mapping[str, np.ndarray]
    ) -> Executable:
        """Load a binary and bind its weights (dense, row-major, 64-byte aligned) once, without a copy."""
        ...

    def from_tensor(self, tensor: Any, target: Target) -> Any:
        """A handle over a dense row-major torch tensor or numpy array; zero-copy where alignment allows."""
        ...

    def from_known(self, tensor: Any, target: Target) -> Any:
        """The same for a torch tensor that is known to be plain, on the CPU, dense, row-major and aligned to
        64 bytes: what a call takes that was checked already."""
        ...

    def read(self, handle: Any, target: Target) -> bytes:
        """A copy of a small tensor's bytes."""
        ...

    def own(self, handle: Any, target: Target) -> Any:
        """The handle where its memory is the engine's own, else one over a copy: what may be donated."""
        ...

    def to_torch(self, handle: Any) -> Any:
        """A torch tensor over the handle's memory, zero-copy on CPU."""
        ...

    def to_numpy(self, handle: Any) -> np.ndarray:
        """A numpy array (ml_dtypes for bfloat16 and float8) over the handle's memory, zero-copy on CPU."""
        ...
