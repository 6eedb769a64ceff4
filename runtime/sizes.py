"""Sizes of a call: symbols bound from tensors' sizes and from scalars, and every size checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lowering.ir.program import Program
from lowering.ir.symbols import Expr, Scalar, Symbol, evaluate, free_symbols, is_unbacked, to_text
from lowering.ir.types import SymType, TensorType
from runtime.errors import InputError
from runtime.solving import solve


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
                raise InputError(
                    f"dim {axis} of `{self._labels[index]}` is {given}, the program takes {size}"
                )
        symbols: dict[str, Scalar] = {}
        origin: dict[str, str] = {}
        for index, axis, term in self._symbolic:
            self._bind_one(symbols, origin, self._what(index, axis), _observed(leaves[index], axis), term)
        return symbols

    def _bind_one(
        self, symbols: dict[str, Scalar], origin: dict[str, str], what: str, given: Any, term: Expr
    ) -> None:
        unknown = sorted(free_symbols(term) - symbols.keys())
        if not unknown:
            expected = evaluate(term, symbols)
            if given != expected:
                raise InputError(
                    f"{what} is {given}, the program takes {_reason(term, expected, origin, symbols)}"
                )
            return
        if isinstance(term, Symbol):
            symbols[term.name] = given
            origin[term.name] = what
        elif len(unknown) == 1 and isinstance(given, int):
            solution = solve(term, given, unknown[0], symbols)
            if solution is None:
                raise InputError(f"{what} is {given}, the program takes a size of the form {to_text(term)}")
            symbols[unknown[0]] = solution
            origin[unknown[0]] = f"{what} = {to_text(term)}, where {unknown[0]}"
        else:
            return
        self._check_range(
            unknown[0] if not isinstance(term, Symbol) else term.name, symbols, what, given, term
        )

    def _check_range(
        self, name: str, symbols: Mapping[str, Scalar], what: str, given: Any, term: Expr
    ) -> None:
        bounds = self._ranges.get(name)
        if bounds is None:
            return
        low, high = bounds
        value = symbols[name]
        if (low is None or value >= low) and (high is None or value <= high):
            return
        allowed = _range_text(low, high)
        if isinstance(term, Symbol):
            raise InputError(f"{what} is {given}, the program allows {allowed}")
        raise InputError(
            f"{what} is {given} = {to_text(term)} with {name} = {value}, the program allows {name} {allowed}"
        )

    def _what(self, index: int, axis: int | None) -> str:
        label = self._labels[index]
        return f"`{label}`" if axis is None else f"dim {axis} of `{label}`"


def _observed(given: Any, axis: int | None) -> Any:
    return int(given.shape[axis]) if axis is not None else given


def _reason(term: Expr, expected: Scalar, origin: Mapping[str, str], symbols: Mapping[str, Scalar]) -> str:
    """Why a size must be what it must be: `8, as dim 0 of `x` is`."""
    if isinstance(term, Symbol):
        return f"{expected}, the same as {origin[term.name]}"
    known = ", ".join(f"{name} = {symbols[name]} is {origin[name]}" for name in sorted(free_symbols(term)))
    return f"{expected} = {to_text(term)}, where {known}"


def _range_text(low: int | None, high: int | None) -> str:
    if high is None:
        return f"{low} or more"
    return f"at most {high}" if low is None else f"{low} to {high}"
