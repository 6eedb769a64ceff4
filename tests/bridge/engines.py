"""An engine for tests: runs segments with ATen, and fails or lies when it is told to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

import bridge
from lowering.host.tensors import aligned_copy, numpy_to_torch, torch_to_numpy
from lowering.ir.errors import EngineError
from lowering.ir.module import Module
from lowering.ir.program import Program
from lowering.stablehlo.passes import StableHloPipeline, stablehlo_pipeline
from lowering.targets.aten.routine import Routine
from lowering.targets.target import TargetOptions

# Whether to refuse a module's nodes: None, or the message and the node that it names.
Refusal = Callable[[tuple[str, ...]], tuple[str, str | None] | None]


def never(nodes: tuple[str, ...]) -> None:
    return None


class TestEngine:
    """Handles are numpy arrays. `lie(name, value)` may change what comes out under a name."""

    __test__ = False
    name = "iree"  # stands in for it
    handle = np.ndarray

    def __init__(self, lowered: bridge.Lowered) -> None:
        self.lowered = lowered
        self.at_compile: Refusal = never
        self.at_load: Refusal = never
        self.lie: Callable[[str, np.ndarray], Any] = lambda name, value: value
        self.compiled: list[tuple[str, ...]] = []
        self.loaded: list[tuple[str, ...]] = []

    def version(self) -> str:
        return "1"

    def flags(self, target: TargetOptions) -> tuple[str, ...]:
        return ()

    def pipeline(self, target: TargetOptions) -> StableHloPipeline:
        return stablehlo_pipeline("test")

    def compile(self, module: Module, target: TargetOptions) -> bytes:
        nodes = self._nodes(module)
        self.compiled.append(nodes)
        _refuse(self.at_compile, nodes)
        return b"compiled"

    def load(
        self, binary: bytes, module: Module, target: TargetOptions, weights: Mapping[str, np.ndarray]
    ) -> Callable[[Sequence[np.ndarray]], list[np.ndarray]]:
        nodes = self._nodes(module)
        self.loaded.append(nodes)
        if binary != b"compiled":
            raise EngineError("this is not a binary of ours")
        _refuse(self.at_load, nodes)
        program = self.lowered.functional
        members = [node for node in program.graph.nodes if node.name in nodes]
        routine = Routine(program.graph, members, [port.name for port in module.outputs])
        bound = {p.name: numpy_to_torch(weights[p.weight]) for p in module.inputs if p.weight is not None}
        given = [port.name for port in module.inputs if port.weight is None]

        def run(handles: Sequence[np.ndarray]) -> list[np.ndarray]:
            env: dict[str, Any] = {**bound, **dict(zip(given, map(numpy_to_torch, handles), strict=True))}
            routine(env, dict(self.lowered.example_sizes))
            results = [(port.name, aligned_copy(torch_to_numpy(env[port.name]))) for port in module.outputs]
            return [self.lie(name, value) for name, value in results]

        return run

    def from_tensor(self, tensor: Any, target: TargetOptions) -> np.ndarray:
        return tensor if isinstance(tensor, np.ndarray) else torch_to_numpy(tensor)

    def from_known(self, tensor: torch.Tensor, target: TargetOptions) -> np.ndarray:
        return torch_to_numpy(tensor)

    def read(self, handle: np.ndarray, target: TargetOptions) -> bytes:
        return handle.tobytes()

    def own(self, handle: np.ndarray, target: TargetOptions) -> np.ndarray:
        return handle

    def to_torch(self, handle: np.ndarray) -> torch.Tensor:
        return numpy_to_torch(handle)

    def to_numpy(self, handle: np.ndarray) -> np.ndarray:
        return handle

    def _nodes(self, module: Module) -> tuple[str, ...]:
        """The nodes between the module's inputs and its outputs."""
        return needed(self.lowered.functional, module)


def needed(program: Program, module: Module) -> tuple[str, ...]:
    """Names of the nodes that compute the module's outputs from its inputs."""
    wanted = {port.name for port in module.outputs}
    stop = {port.name for port in module.inputs}
    names: list[str] = []
    for node in reversed(program.graph.nodes):
        if wanted.intersection(node.results()) - stop:
            names.append(node.name)
            wanted.update(set(node.refs()) - stop)
    return tuple(reversed(names))


def _refuse(refusal: Refusal, nodes: tuple[str, ...]) -> None:
    answer = refusal(nodes)
    if answer is not None:
        raise EngineError(*answer)
