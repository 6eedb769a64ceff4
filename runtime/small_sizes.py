"""Sizes of 0 and 1, which the exporter took for 2 or more: whether the program's types hold for them.

It writes a squeezed axis of a dynamic size as one that stays, and `x[:2]` as two rows. Eager decides at each
call. Where the host target finds that the program's types do not hold, the call runs there, as in eager.
"""

from __future__ import annotations

from collections.abc import Mapping

from lowering.ir.program import Program
from lowering.ir.symbols import Scalar
from lowering.targets import get_host

# By the symbols that are 1, the others being 2 or more: the type that does not hold; empty where all hold.
AtOne = Mapping[tuple[str, ...], str]
NOTHING_KNOWN: AtOne = {}
# How many combinations of sizes are remembered.
_REMEMBERED = 256


class SmallSizes:
    """Asked at each call of one functional program whether its types hold."""

    def __init__(self, program: Program, at_one: AtOne = NOTHING_KNOWN) -> None:
        self._program = program
        self._at_one = at_one
        self._found: dict[tuple[tuple[str, Scalar], ...], str] = {}

    def problem(self, symbols: Mapping[str, Scalar]) -> str:
        """The type that does not hold at these values of the inputs' symbols; empty where all hold."""
        if not symbols or min(symbols.values()) >= 2 or self._as_exported(symbols):
            return ""
        key = tuple(symbols.items())
        if key not in self._found:
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            known = None if 0 in symbols.values() else self._at_one.get(_ones(symbols))
            self._found[key] = _problem(self._program, symbols) if known is None else known
        return self._found[key]

    def _as_exported(self, symbols: Mapping[str, Scalar]) -> bool:
        hints = self._program.hints
        return all(hints.get(name) == value for name, value in symbols.items())


def _ones(symbols: Mapping[str, Scalar]) -> tuple[str, ...]:
    return tuple(sorted(name for name, size in symbols.items() if size == 1))


def _problem(program: Program, symbols: Mapping[str, Scalar]) -> str:
    try:
        host = get_host()
    except ModuleNotFoundError:
        return "sizes below 2 need torch, to check what the exporter took for granted"
    return host.size_problem(program, symbols)
