"""An engine by the steps of docs/how-to/add-an-engine.md: StableHLO's reference interpreter, in one file.

`test_added_engine.py` installs it as a package of its own would be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lowering.host.machine import seal, unseal
from lowering.host.tensors import aligned_copy, numpy_to_torch, torch_to_numpy
from lowering.ir.errors import EngineError
from lowering.ir.module import Module
from lowering.stablehlo import hlo
from lowering.stablehlo.hlo import ir, stablehlo
from lowering.stablehlo.passes import StableHloPipeline, stablehlo_pipeline
from lowering.targets.target import Executable, TargetOptions


class Tensor(np.ndarray):
    """The engine's own handle."""


class Interpreter:
    name = "interpreter"
    handle = Tensor

    def version(self) -> str:
        return "1"

    def flags(self, target: TargetOptions) -> tuple[str, ...]:
        return ()

    def pipeline(self, target: TargetOptions) -> StableHloPipeline:
        return stablehlo_pipeline("interpreter")

    def compile(self, module: Module, target: TargetOptions) -> bytes:
        if target.device != "cpu":
            raise EngineError(f"interpreter: the device {target.device} does not exist")
        return seal(self.name, self.version(), target.device, module.code)

    def load(
        self, binary: bytes, module: Module, target: TargetOptions, weights: Mapping[str, np.ndarray]
    ) -> Executable:
        code = unseal(self.name, self.version(), target.device, binary)

        def run(handles: Sequence[Any]) -> list[Any]:
            left = list(handles)
            given = [left.pop(0) if p.weight is None else weights[p.weight] for p in module.inputs]
            with hlo.make_context() as context, ir.Location.unknown():
                attributes = [ir.DenseElementsAttr.get(np.ascontiguousarray(value)) for value in given]
                made = stablehlo.eval_module(hlo.deserialize(code, context), attributes)
                return [
                    self.from_tensor(np.array(value).reshape(port.sizes), target)
                    for value, port in zip(made, module.outputs, strict=True)
                ]

        return run

    def from_tensor(self, tensor: Any, target: TargetOptions) -> Tensor:
        return aligned_copy(tensor if isinstance(tensor, np.ndarray) else torch_to_numpy(tensor)).view(Tensor)

    from_known = from_tensor

    def read(self, handle: Tensor, target: TargetOptions) -> bytes:
        return handle.tobytes()

    def own(self, handle: Tensor, target: TargetOptions) -> Tensor:
        return handle

    def to_torch(self, handle: Tensor) -> Any:
        return numpy_to_torch(handle.view(np.ndarray))

    def to_numpy(self, handle: Tensor) -> np.ndarray:
        return handle.view(np.ndarray)
