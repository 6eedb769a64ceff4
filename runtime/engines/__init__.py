"""The engines, by name. Each is imported only when it is asked for."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from runtime.engine import Engine, EngineError

_ENGINES = {"iree": ("runtime.engines.iree", "Iree"), "xla": ("runtime.engines.xla", "Xla")}


@cache
def engine(name: str) -> Engine:
    """The engine `iree` or `xla`; raises EngineError for any other name."""
    if name not in _ENGINES:
        raise EngineError(f"there is no engine {name!r}; there are {', '.join(sorted(_ENGINES))}")
    module, attribute = _ENGINES[name]
    return getattr(import_module(module), attribute)()
