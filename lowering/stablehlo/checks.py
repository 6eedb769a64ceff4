"""The checks on the data of a module that is being built."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lowering.ir.module import Check
from lowering.stablehlo.build.regions import Checked
from lowering.stablehlo.value import Value


class Checks:
    """The checks of a module, by the region they are made in, the innermost last.

    Each is a 0-d bool, True where it does not hold; equal checks of one node are one.
    """

    def __init__(self) -> None:
        self._frames: list[list[tuple[Check, Value]]] = [[]]

    def add(self, check: Check, failed: Value) -> None:
        self._frames[-1].append((check, failed))

    def update(self, checks: Mapping[Check, Value]) -> None:
        self._frames[-1] += checks.items()

    def readable(self) -> list[Value]:
        """All that can be read in the innermost region."""
        return [failed for frame in self._frames for _, failed in frame]

    def found(self) -> dict[Check, Value]:
        """The checks of the innermost region."""
        found: dict[Check, Value] = {}
        for check, failed in self._frames[-1]:
            found[check] = found[check] | failed if check in found else failed
        return found

    def collect(self, build: Callable[[], Value | Sequence[Value]]) -> Checked:
        """The result of `build`, and the checks that it makes in a region of its own."""
        self._frames.append([])
        try:
            results = build()
            return [results] if isinstance(results, Value) else list(results), self.found()
        finally:
            self._frames.pop()
