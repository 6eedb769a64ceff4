"""The protocols of targets.

An engine compiles a StableHLO module to bytes, loads the bytes, and calls the result on handles. The host
target compiles nodes, and calls the result on tensors in host form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np

from lowering.host.machine import cores
from lowering.host.processor import processor
from lowering.ir.dynamic_module import DynamicModule
from lowering.ir.module import Module
from lowering.ir.program import Graph, Node, Program
from lowering.ir.symbols import Scalar
from lowering.ir.weights import Weights

if TYPE_CHECKING:
    from lowering.stablehlo.passes import StableHloPipeline


DEVICES = ("cpu", "cuda")
# The device of the host target.
HOST_DEVICE = "cpu"


@dataclass(frozen=True, slots=True)
class TargetOptions:
    """The options of a target for one executable. `device`: `cpu` or `cuda`. `options`: engine-specific, by
    name. `index`: which of the machine's devices of that kind. A binary is for all of them."""

    device: str = "cpu"
    options: Mapping[str, str] = field(default_factory=dict)
    index: int = 0

    @property
    def place(self) -> str:
        """The device and its index: `cpu`, `cuda`, `cuda:1`."""
        return f"{self.device}:{self.index}" if self.index else self.device


CPU = TargetOptions()
_DEVICE = re.compile(r"(cpu)|(cuda)(?::([0-9]{1,3}))?")


def target_of(device: str, options: Mapping[str, str] | None = None) -> TargetOptions | None:
    """The target of `cpu`, `cuda` or `cuda:1`; None for anything else."""
    found = _DEVICE.fullmatch(device)
    return TargetOptions(found[1] or found[2], options or {}, int(found[3] or 0)) if found else None


@dataclass(frozen=True, slots=True)
class Choice:
    """An engine, with options of its own for the code that it makes.

    `several_cores`: measured placement tries the choice on the CPU alone, and on several cores.
    """

    engine: str
    options: Mapping[str, str] = field(default_factory=dict)
    several_cores: bool = False


class Machine(NamedTuple):
    """The properties that a pipeline may depend on: how many cores this process may use, and their
    extensions."""

    cores: int
    has_avx512: bool
    has_bfloat16: bool
    has_float16: bool


def this_machine() -> Machine:
    """The machine that code is compiled for, as `BRIDGE_CPU` may hold it. Raises EngineError."""
    has = processor()
    return Machine(cores(), has.has_avx512, has.has_bfloat16, has.has_float16)


class Built(NamedTuple):
    """A module, its engine, and the engine's binary; `preflight`: the binary of the module's preflight, if
    any."""

    module: Module
    binary: bytes
    engine: Engine
    target: TargetOptions = CPU
    preflight: bytes = b""


class BuiltDynamic(NamedTuple):
    """A module for all sizes, its engine, and the engine's binary."""

    module: DynamicModule
    binary: bytes
    engine: CompilesDynamic
    target: TargetOptions = CPU


class Executable(Protocol):
    """A loaded module with its weights bound.

    Handles are the engine's own buffers. A call takes one handle per input port without a weight, in order,
    and returns one per output port. It returns when the results may be read. Arguments are only read, except
    donated ones. Their handles are invalid after the call, and the paired result may lie in their memory.
    """

    def __call__(self, handles: Sequence[Any]) -> list[Any]: ...


@runtime_checkable
class Holding(Protocol):
    """An executable that holds memory of its own, such as a copy of the weights in another layout."""

    @property
    def own_bytes(self) -> int:
        """How much, at most, beside the weights and what it shares with others."""
        ...


class Kernel(NamedTuple):
    """A part of a segment that an engine ran as one: a thunk, a dispatch.

    `name`: the engine's. `nodes`: names of the nodes that it computes, or a part of. `start`: seconds after
    the segment's. `lane`: the thread; two kernels of a lane are one in the other, or side by side.
    """

    name: str
    nodes: tuple[str, ...]
    start: float
    seconds: float
    lane: int = 0


class Resizable(Protocol):
    """A loaded module for all sizes, with its weights bound."""

    def at(self, sizes: Mapping[str, Scalar]) -> Executable:
        """The executable at these values of the symbols. Raises EngineError for sizes that it is not for."""
        ...


Results = TypeVar("Results")


@runtime_checkable
class Tracing(Protocol):
    """An engine that can also say what it runs inside a segment."""

    def trace(
        self, executable: Any, built: Built, handles: Sequence[Any], call: Callable[[], Results]
    ) -> tuple[Results, list[Kernel]]:
        """The results of `call`, made once, which runs the executable on the handles, and its kernels.

        The kernels may be of another run on the same data. Raises EngineError.
        """
        ...


@runtime_checkable
class Weighing(Protocol):
    """An engine that can also say how much memory its binaries need."""

    def temporary(self, binary: bytes, target: TargetOptions) -> int | None:
        """Bytes that a call allocates and frees, its results aside; None where the binary does not say.

        Binds no weights. Raises EngineError.
        """
        ...


class Engine(Protocol):
    """A compiler with its runtime. `handle`: the type of its handles, which no other engine has."""

    name: str
    handle: type

    def version(self) -> str:
        """The engine's version and whatever else its binaries depend on (CPU features), as a cache key."""
        ...

    def flags(self, target: TargetOptions) -> Sequence[str]:
        """The compiler's flags: part of the cache key."""
        ...

    def pipeline(self, target: TargetOptions) -> StableHloPipeline:
        """The passes that a module goes through before `compile`. Imports neither torch nor jax."""
        ...

    def compile(self, module: Module, target: TargetOptions) -> bytes:
        """Compile what the pipeline made; raises EngineError with the engine's own first diagnostic."""
        ...

    def load(
        self, binary: bytes, module: Module, target: TargetOptions, weights: Mapping[str, np.ndarray]
    ) -> Executable:
        """Load a binary and bind its weights (dense, row-major, 64-byte aligned) once, without a copy."""
        ...

    def from_tensor(self, tensor: Any, target: TargetOptions) -> Any:
        """A handle over a dense row-major torch tensor or numpy array; zero-copy where alignment allows."""
        ...

    def from_known(self, tensor: Any, target: TargetOptions) -> Any:
        """The same for a checked torch tensor: plain, on the CPU, dense, row-major, aligned to 64 bytes."""
        ...

    def read(self, handle: Any, target: TargetOptions) -> bytes:
        """A copy of a small tensor's bytes."""
        ...

    def own(self, handle: Any, target: TargetOptions) -> Any:
        """The handle where its memory is the engine's own, else one over a copy: it may be donated."""
        ...

    def to_torch(self, handle: Any) -> Any:
        """A torch tensor over the handle's memory, zero-copy on CPU."""
        ...

    def to_numpy(self, handle: Any) -> np.ndarray:
        """A numpy array (ml_dtypes for bfloat16 and float8) over the handle's memory, zero-copy on CPU."""
        ...


# The name, among the values of a host executable, of the list of functions that take back its writes.
ROLLBACK = ""


@runtime_checkable
class CompilesDynamic(Engine, Protocol):
    """An engine that can also compile a module for all sizes into one binary."""

    def dynamic_pipeline(self, target: TargetOptions) -> StableHloPipeline:
        """The passes that bring a module for all sizes into the form that is compiled."""
        ...

    def compile_dynamic(self, module: DynamicModule, target: TargetOptions) -> bytes:
        """One binary for all sizes that the module admits. Raises EngineError."""
        ...

    def load_dynamic(
        self, binary: bytes, module: DynamicModule, target: TargetOptions, weights: Mapping[str, np.ndarray]
    ) -> Resizable:
        """Load such a binary, with its weights bound. Raises EngineError."""
        ...


class NodeSegment(NamedTuple):
    """A segment as nodes.

    `outputs`: values that are read when the nodes have run. `constants`: full names of the weights that never
    change, by value name. `updates`: old values of buffers that no later segment reads, and the new ones.
    `packed`: whether weights may be laid out anew and results round otherwise than eager's.
    """

    graph: Graph
    nodes: Sequence[Node]
    outputs: tuple[str, ...]
    constants: Mapping[str, str]
    updates: Mapping[str, str]
    weights: Weights
    packed: bool


HostRun = Callable[[MutableMapping[str, Any], MutableMapping[str, Any]], None]
# Gets a node that has run, and its first and last moment, as `time.perf_counter` has them.
Record = Callable[[Node, float, float], None]


class HostExecutable(NamedTuple):
    """A segment compiled for tensors in host form, of all sizes.

    `run(values, symbols)` reads and writes values by name, and binds symbols as values show them. It raises
    ExecutionError. It adds the functions that take back its writes in place to the list `values[ROLLBACK]`.
    `nodes`: the nodes that run. `inputs`: values that it reads, in order. `bases`: addresses of the storages
    of its constants, of which results may be views. `timed(record)` gives a `run` that records each node.
    """

    run: HostRun
    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    bases: frozenset[int]
    timed: Callable[[Record], HostRun]


class HostTarget(Protocol):
    """The target of nodes that no engine runs."""

    def compile(self, segment: NodeSegment) -> HostExecutable:
        """Raises UnknownOperator for an operator that it does not have, WeightError for a weight."""
        ...

    def without_gradients(self) -> AbstractContextManager[Any]:
        """Calls of executables run inside."""
        ...

    def interpret(
        self,
        program: Program,
        weights: Mapping[str, Any],
        inputs: Sequence[Any],
        symbols: Mapping[str, Scalar],
        record: Record | None = None,
    ) -> list[Any]:
        """Run a program as it was read, writes and all: see `lowering.targets.aten.reference`.

        `record` gets each node of the main graph.
        """
        ...

    def written_inputs(self, program: Program) -> set[str]:
        """Names of the graph inputs that `interpret` may write to."""
        ...

    def size_problem(self, program: Program, symbols: Mapping[str, Scalar]) -> str:
        """The claim of the program's types that does not hold at these sizes; empty where all hold."""
        ...
