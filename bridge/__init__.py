"""Bridge: PyTorch ExportedPrograms to StableHLO, run on engines and on ATen, proved against eager.

>>> import bridge
>>> lowered = bridge.lower("model.pt2")
>>> compiled = lowered.compile()
>>> outputs = compiled(x)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bridge import ir
    from bridge.adapters.merging import merged
    from bridge.api import load, lower
    from bridge.buckets import Buckets
    from bridge.compiled.compiled import Compiled
    from bridge.errors import BridgeError
    from bridge.given_weights import read_weights, validate_weights
    from bridge.ir import execute, extract, read_program, read_schema
    from bridge.lowered import Lowered
    from bridge.registration import register_decomposition, register_kernel, register_lowering
    from bridge.verifying import verify
    from lowering.ir.program import Program

__version__ = "0.1.0"

# Resolved on first use (PEP 562), so that `import bridge` imports neither torch nor jax.
_HOMES = {
    "ir": "bridge.ir",
    "BridgeError": "bridge.errors",
    "Buckets": "bridge.buckets",
    "lower": "bridge.api",
    "load": "bridge.api",
    "execute": "bridge.ir",
    "extract": "bridge.ir",
    "read_program": "bridge.ir",
    "read_schema": "bridge.ir",
    "Program": "lowering.ir.program",
    "read_weights": "bridge.given_weights",
    "validate_weights": "bridge.given_weights",
    "verify": "bridge.verifying",
    "Lowered": "bridge.lowered",
    "Compiled": "bridge.compiled.compiled",
    "merged": "bridge.adapters.merging",
    "register_decomposition": "bridge.registration",
    "register_kernel": "bridge.registration",
    "register_lowering": "bridge.registration",
}

__all__ = [
    "BridgeError",
    "Buckets",
    "Compiled",
    "Lowered",
    "Program",
    "__version__",
    "execute",
    "extract",
    "ir",
    "load",
    "lower",
    "merged",
    "read_program",
    "read_schema",
    "read_weights",
    "register_decomposition",
    "register_kernel",
    "register_lowering",
    "validate_weights",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bridge' has no attribute {name!r}")
    from importlib import import_module

    from lowering.targets.packages import brings, needs

    try:
        home = import_module(_HOMES[name])
        value = home if name == "ir" else getattr(home, name)
    except ModuleNotFoundError as error:
        if not brings(error):
            raise
        raise ModuleNotFoundError(f"bridge.{name} {needs(error)}", name=error.name) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
