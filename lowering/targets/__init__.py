"""The targets, by name. Each is imported only when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

from lowering.host.packages import needs
from lowering.ir.errors import EngineError
from lowering.passes.pipeline import Pipeline
from lowering.targets.target import Engine, HostTarget

ENGINES = {"iree": "lowering.targets.iree.engine:Iree", "xla": "lowering.targets.xla.engine:Xla"}

#: The group of entry points by which an installed package brings engines: `name = "package.module:Class"`.
ENTRY_POINTS = "bridge.engines"

# The host target, which runs what no engine does; and its name in messages.
HOST = ("lowering.targets.aten.target", "Aten")
HOST_NAME, HOST_TITLE = "aten", "ATen"

# By target, what its pipelines rewrite.
SUBJECTS = {"aten": "segment", "iree": "StableHLO module", "xla": "StableHLO module"}


def pipelines(target: str) -> tuple[Pipeline[Any], ...]:
    """The pipelines of a target, on this machine. Imports what they import."""
    return import_module(f"lowering.targets.{target}.pipeline").pipelines()


@cache
def engines() -> Mapping[str, str]:
    """Module and class of every engine by name: ours first, then those of installed packages, which take no
    name of ours."""
    from importlib.metadata import entry_points

    brought = {found.name: found.value for found in sorted(entry_points(group=ENTRY_POINTS))}
    return {
        **ENGINES,
        **{name: value for name, value in brought.items() if name not in (*ENGINES, HOST_NAME)},
    }


@cache
def get_engine(name: str) -> Engine:
    """An engine of `engines()`; raises EngineError for any other name, and where it is not installed."""
    place = ENGINES.get(name) or engines().get(name)
    if place is None:
        raise EngineError(f"there is no engine {name!r}; there are {', '.join(sorted(engines()))}")
    module, _, attribute = place.partition(":")
    try:
        return getattr(import_module(module), attribute)()
    except ModuleNotFoundError as error:
        raise EngineError(f"the engine {name} {needs(error)}") from error


@cache
def get_host() -> HostTarget:
    """The host target. Raises ModuleNotFoundError where its library is not installed."""
    module, attribute = HOST
    return getattr(import_module(module), attribute)()
