"""The targets, by name. Each is imported only when it is asked for."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from lowering.host.packages import needs
from lowering.ir.errors import EngineError
from lowering.passes.pipeline import Pipeline
from lowering.targets.target import Engine, HostTarget

ENGINES = {"iree": ("lowering.targets.iree.engine", "Iree"), "xla": ("lowering.targets.xla.engine", "Xla")}

# The host target, which runs what no engine does; and its name in messages.
HOST = ("lowering.targets.aten.target", "Aten")
HOST_NAME, HOST_TITLE = "aten", "ATen"

# By target, what its pipelines rewrite.
SUBJECTS = {"aten": "segment", "iree": "StableHLO module", "xla": "StableHLO module"}


def pipelines(target: str) -> tuple[Pipeline[Any], ...]:
    """The pipelines of a target, on this machine. Imports what they import."""
    return import_module(f"lowering.targets.{target}.pipeline").pipelines()


@cache
def get_engine(name: str) -> Engine:
    """The engine `iree` or `xla`; raises EngineError for any other name."""
    if name not in ENGINES:
        raise EngineError(f"there is no engine {name!r}; there are {', '.join(sorted(ENGINES))}")
    module, attribute = ENGINES[name]
    try:
        return getattr(import_module(module), attribute)()
    except ModuleNotFoundError as error:
        raise EngineError(f"the engine {name} {needs(error)}") from error


@cache
def get_host() -> HostTarget:
    """The host target. Raises ModuleNotFoundError where its library is not installed."""
    module, attribute = HOST
    return getattr(import_module(module), attribute)()
