"""A module for all sizes as IREE's compiler reads it: MLIR text of StableHLO beside `tensor` and `arith`.

It needs jax's MLIR.
"""

from __future__ import annotations

from lowering.ir.dynamic_module import DynamicModule
from lowering.ir.errors import EngineError
from lowering.ir.module import Module
from lowering.stablehlo.passes.parsed_dynamic import rewritten_dynamic
from lowering.targets.iree.pipeline import dynamic_pipeline
from lowering.targets.target import this_machine


def dynamic_source(module: DynamicModule, device: str) -> tuple[bytes, Module]:
    """The text, and the ports of its `@main` with symbolic sizes. Raises EngineError."""
    try:
        return rewritten_dynamic(module, dynamic_pipeline(device, this_machine()))
    except EngineError as error:
        raise EngineError(f"iree {module.name}: {error}", error.node) from None
