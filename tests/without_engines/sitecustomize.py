"""Python imports this at its start where this folder is in PYTHONPATH: then no engine compiles.

So `make test-fast` has it in the processes that tests start; `tests/fast.py` has it in their own. A call is
written to a file, too, for tests that catch what is raised.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, NoReturn

#: The variable that names the file, which gets a line for each call.
CALLS = "BRIDGE_ENGINE_CALLS"

# By module, the function through which all compilations of its engine go.
COMPILERS = {
    "lowering.targets.iree.compile": "_iree_compile",
    "lowering.targets.xla.compile": "compile_module",
}


class EngineCompiles(BaseException):
    """An engine was asked to compile. It is not an Exception, which Bridge may answer by a fallback."""


def _refuse(*_: Any, **__: Any) -> NoReturn:
    with open(os.environ[CALLS], "a", encoding="utf-8") as calls:
        calls.write("1\n")
    raise EngineCompiles("no engine compiles in a fast test")


class WithoutEngines(MetaPathFinder):
    """Imports the engines' modules with another function in the place of their compilers."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        found = PathFinder.find_spec(fullname, path, target) if fullname in COMPILERS else None
        if found is not None and found.loader is not None:
            execute = found.loader.exec_module

            def execute_and_replace(module: ModuleType) -> None:
                execute(module)
                if not hasattr(module, COMPILERS[fullname]):
                    raise ImportError(f"{fullname} has no {COMPILERS[fullname]} to replace")
                setattr(module, COMPILERS[fullname], _refuse)

            found.loader.exec_module = execute_and_replace
        return found


if CALLS in os.environ:
    sys.meta_path.insert(0, WithoutEngines())
