"""One family of errors: whatever Bridge refuses is a BridgeError."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module

import bridge
import lowering
import runtime

# Answers between our own functions, and bugs that only the verification of passes finds: no caller sees them.
_ANSWERS = {"Unsupported", "Specialised", "NotFunctional", "MalformedProgram", "MixedRows", "NotLiteral"}


def test_every_public_error_is_of_the_family() -> None:
    found: set[str] = set()
    for package in (bridge, lowering, runtime):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if info.name.endswith("__main__"):
                continue
            for name, kind in inspect.getmembers(import_module(info.name), inspect.isclass):
                ours = kind.__module__ == info.name and issubclass(kind, BaseException)
                if ours and not name.startswith("_") and name not in _ANSWERS:
                    found.add(name)
                    assert issubclass(kind, bridge.BridgeError), f"{info.name}.{name}"
    assert {"ArchiveError", "EngineError", "InputError", "RuleError", "SchemaError", "WeightError"} <= found
