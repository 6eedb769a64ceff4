"""XLA's compiler: its options for a module, and its binary of one."""

from __future__ import annotations

from functools import cache

from lowering.host.machine import cores
from lowering.host.processor import processor
from lowering.host.residency import give_back_freed
from lowering.ir.errors import EngineError
from lowering.ir.module import Module
from lowering.ir.types import DType
from lowering.targets.diagnostics import first_error, first_line
from lowering.targets.target import TargetOptions
from lowering.targets.xla.client import FAILURES, client_of, compile_options
from lowering.targets.xla.donation import with_aliases

_PROBE = """
module { func.func public @main(%x: tensor<f32>) -> tensor<f32> { return %x : tensor<f32> } }
"""
_NO_YNN = ""
_YNN_DOTS = "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"
_WITH_YNN = frozenset({DType.FLOAT16, DType.BFLOAT16})


def compile_module(module: Module, target: TargetOptions) -> bytes:
    """XLA's own binary of a module. Raises EngineError."""
    client, devices = client_of(target.device, target.index)
    options = options_for(module, target)
    code = with_aliases(module) if module.donated else module.code
    try:
        loaded = client.compile_and_load(code, devices, compile_options(options))
        return client.serialize_executable(loaded)
    except FAILURES as error:
        text, node = first_error(str(error))
        raise EngineError(f"xla {module.name}: {text or first_line(error)}", node) from None
    finally:
        give_back_freed()


def options_for(module: Module, target: TargetOptions) -> dict[str, str]:
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
    client, devices = client_of(device)
    try:
        client.compile_and_load(_PROBE, devices, compile_options({key: value}))
    except FAILURES:
        return False
    return True
