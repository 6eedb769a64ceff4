"""The table of targets, by name: the one file outside a target's folder that names it.

A target is imported on demand.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

from lowering.ir.errors import EngineError
from lowering.passes.pipeline import Pipeline
from lowering.targets.target import Choice, Engine, HostTarget

# The default engine is first, and the engine that compiles fastest is last.
ENGINES = {"iree": "lowering.targets.iree.engine:Iree", "xla": "lowering.targets.xla.engine:Xla"}

DEFAULT_ENGINE = next(iter(ENGINES))

#: The group of entry points by which an installed package brings engines: `name = "package.module:Class"`.
ENTRY_POINTS = "bridge.engines"

# The host target, which runs what no engine does; and its name in messages.
HOST = ("lowering.targets.aten.target", "Aten")
HOST_NAME, HOST_TITLE = "aten", "ATen"

# The targets that have pipelines.
WITH_PIPELINES = (HOST_NAME, *ENGINES)


def facts(engine: str, name: str) -> Mapping[str, Any]:
    """A table that the package of an engine may have: `CHOICES`, or `PACKAGES`, by the name of the import."""
    return getattr(import_module(f"lowering.targets.{engine}"), name, {})


@cache
def choices() -> Mapping[str, Choice]:
    """The choices that a segment can be compiled for, by name.

    Each engine is a choice by its own name. Measured placement tries all choices.
    """
    found: dict[str, Choice] = {}
    for engine in ENGINES:
        found |= {engine: Choice(engine), **facts(engine, "CHOICES")}
    return found


def pipelines(target: str) -> tuple[Pipeline[Any], ...]:
    """The pipelines of a target, on this machine. Imports what they import."""
    return import_module(f"lowering.targets.{target}.pipeline").pipelines()


@cache
def engines() -> Mapping[str, str]:
    """Module and class of every engine by name: ours first, then engines of installed packages under other
    names."""
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
        raise EngineError(f"the engine {name!r} does not exist; there are {', '.join(sorted(engines()))}")
    module, _, attribute = place.partition(":")
    try:
        return getattr(import_module(module), attribute)()
    except ModuleNotFoundError as error:
        from lowering.targets.packages import needs

        raise EngineError(f"the engine {name} {needs(error)}") from error


@cache
def get_host() -> HostTarget:
    """The host target. Raises ModuleNotFoundError where its library is not installed."""
    module, attribute = HOST
    return getattr(import_module(module), attribute)()
