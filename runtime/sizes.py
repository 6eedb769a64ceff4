"""Sizes of a call: symbols bound from tensors' sizes and from scalars, and every size checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lowering.ir.program import Program
from lowering.ir.symbol_solving import line, solve
from lowering.ir.symbols import (
    Apply,
    Expr,
    Scalar,
    Symbol,
    SymbolError,
    Term,
    evaluate,
    free_symbols,
    is_unbacked,
    substituted,
    to_text,
)
from lowering.ir.types import SymType, TensorType
from lowering.targets.errors import InputError

_ANY = (None, None)


class Sizes:
    """Binding symbols from the sizes of tensors and from scalars, and checking every size against them."""

    def __init__(
        self, program: Program, types: Sequence[TensorType | SymType | None], labels: Sequence[str]
    ) -> None:
        self._static: list[tuple[int, int, int]] = []
        self._symbolic: list[tuple[int, int | None, Expr]] = []
        self._labels = labels
        for index, type_ in enumerate(types):
            if isinstance(type_, SymType):
                if isinstance(type_.value, Expr):
                    self._symbolic.append((index, None, type_.value))
            elif type_ is not None:
                for axis, size in enumerate(type_.sizes):
                    if isinstance(size, int):
                        self._static.append((index, axis, size))
                    else:
                        self._symbolic.append((index, axis, size))
        # Plain symbols first: derived sizes are then checked rather than solved for.
        self._symbolic.sort(key=lambda item: not isinstance(item[2], Symbol))
        self._ranges = {name: bounds for name, bounds in program.ranges.items() if not is_unbacked(name)}

    def bind(self, leaves: Sequence[Any]) -> dict[str, Scalar]:
        """The value of every symbol that the inputs show. Raises InputError for the first wrong size."""
        for index, axis, size in self._static:
            given = leaves[index].shape[axis]
            if given != size:
                raise InputError(f"{self._what(index, axis)} is {given}, the program takes {size}")
        call = _Call()
        for index, axis, term in self._symbolic:
            given = _observed(leaves[index], axis)
            try:
                access = Symbol(self._access(index, axis))
                wanted = self._bind_one(call, access, term, given)
                call.words[access.name] = self._what(index, axis)
            except SymbolError as error:
                wanted = f"cannot tell whether it may be: {error}"
            if wanted:
                raise InputError(f"{self._what(index, axis)} is {given}, the program {wanted}")
        return call.symbols

    def _bind_one(self, call: _Call, access: Symbol, term: Expr, given: Any) -> str:
        """Bind the symbol that a size shows, or check the size. Gives the size that the program takes where
        it differs."""
        unknown = sorted(free_symbols(term) - call.symbols.keys())
        if not unknown:
            expected = evaluate(term, call.symbols)
            return "" if given == expected else f"takes {call.reason(term, expected)}"
        if len(unknown) > 1 or not (isinstance(term, Symbol) or isinstance(given, int)):
            return ""  # an equation of several unknowns: the guards have it
        name = unknown[0]
        low, high = self._ranges.get(name, _ANY)
        found = given if isinstance(term, Symbol) else solve(term, given, name, call.symbols)
        if found is None or (low is not None and found < low) or (high is not None and found > high):
            return f"allows {call.allowed(term, name, low, high)}"
        call.bind(name, found, term, access)
        return ""

    def _what(self, index: int, axis: int | None) -> str:
        label = self._labels[index]
        return f"`{label}`" if axis is None else f"dim {axis} of `{label}`"

    def _access(self, index: int, axis: int | None) -> str:
        """The name in expressions: `x.size(0)`, `n`."""
        return self._labels[index] if axis is None else f"{self._labels[index]}.size({axis})"


class _Call:
    """The symbols and sizes that the inputs of one call have shown so far. `shown`: each symbol as an
    expression over inputs."""

    def __init__(self) -> None:
        self.symbols: dict[str, Scalar] = {}
        self.shown: dict[str, Term] = {}
        # The caller's words for `x.size(0)` in an expression.
        self.words: dict[str, str] = {}

    def bind(self, name: str, value: Scalar, term: Expr, access: Symbol) -> None:
        """A symbol's value, found from a size that is `term` and that expressions call `access`."""
        shown: Term = access
        if not isinstance(term, Symbol):
            offset, step = line(term, name, self.symbols)
            shown = Apply("Add", (access, -offset)) if offset else access
            shown = Apply("FloorDiv", (shown, step)) if step != 1 else shown
        self.symbols[name] = value
        self.shown[name] = shown

    def reason(self, term: Expr, expected: Scalar) -> str:
        """Why a size must be what it must be: `8 = 2*x.size(0), where x.size(0) is 4`."""
        words = substituted(term, self.shown)
        if isinstance(words, Symbol):
            return f"{expected}, the same as {self.words[words.name]}"
        known = ", ".join(
            f"{to_text(self.shown[name])} is {self.symbols[name]}" for name in sorted(free_symbols(term))
        )
        return f"{expected} = {to_text(words)}, where {known}"

    def allowed(self, term: Expr, name: str, low: int | None, high: int | None) -> str:
        """The sizes that an expression of one unknown symbol can have: `4 to 128 in steps of 2`."""
        if isinstance(term, Symbol):
            return _range_text(low, high)
        offset, step = line(term, name, self.symbols)
        if not step:
            return f"sizes of the form {to_text(substituted(term, {**self.shown, name: Symbol('n')}))}"
        ends = [None if end is None else offset + step * end for end in (low, high)]
        if step < 0:
            ends.reverse()
        steps = f" in steps of {abs(step)}" if abs(step) != 1 else ""
        return (
            f"sizes of the form {step}*n + {offset}"
            if ends == [None, None]
            else f"{_range_text(*ends)}{steps}"
        )


def _observed(given: Any, axis: int | None) -> Any:
    return int(given.shape[axis]) if axis is not None else given


def _range_text(low: int | None, high: int | None) -> str:
    if high is None:
        return f"{low} or more"
    return f"at most {high}" if low is None else f"{low} to {high}"
