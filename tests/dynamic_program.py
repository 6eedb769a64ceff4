"""A program of one segment on IREE's binary for all sizes, with its weights."""

from __future__ import annotations

import bridge
from lowering.host.weights import materialise
from lowering.ir.dynamic_module import DynamicModule
from lowering.targets.iree.dynamic import DynamicExecutable
from lowering.targets.iree.engine import Iree
from lowering.targets.target import CPU


def load_dynamic(lowered: bridge.Lowered, module: DynamicModule) -> DynamicExecutable:
    """Compile and load a module of the program. Raises EngineError where it has no binary for all sizes."""
    engine = Iree()
    names = [port.weight for port in module.inputs if port.weight is not None]
    binary = engine.compile_dynamic(module, CPU)
    return engine.load_dynamic(binary, module, CPU, materialise(lowered.weights, names))
