"""Checks of the data that a module makes: an executable raises for the first that fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lowering.ir.module import Check
from lowering.targets.errors import error_of
from lowering.targets.target import Built, Executable


class Checked:
    """An executable whose last result says which checks of the data failed; raises for the first that did."""

    def __init__(self, run: Executable, built: Built, checks: tuple[Check, ...]) -> None:
        self._run = run
        self._read = built.engine.read
        self._target = built.target
        self._checks = checks

    def __call__(self, handles: Sequence[Any]) -> list[Any]:
        results = self._run(handles)
        failed = self._read(results.pop(), self._target)
        if b"\1" in failed:
            raise error_of(self._checks[failed.index(1)])
        return results


class Preflighted:
    """An executable that overwrites arguments, after another that says which checks of the data fail."""

    def __init__(self, run: Executable, check: Executable, built: Built) -> None:
        module = built.module
        assert module.preflight is not None
        names = [port.name for port in module.inputs if port.weight is None]
        self._places = [names.index(port.name) for port in module.preflight.inputs if port.weight is None]
        self._check = Checked(check, built, module.preflight.checks)
        self._run = run

    def __call__(self, handles: Sequence[Any]) -> list[Any]:
        self._check([handles[place] for place in self._places])
        return self._run(handles)[:-1]
