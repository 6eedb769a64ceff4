"""Finding a symbol's value from an observed size."""

from __future__ import annotations

from collections.abc import Mapping

from lowering.ir.symbols import Dim, Scalar, Symbol, SymbolError, evaluate, free_symbols


def solve(term: Dim, observed: int, symbol: str, known: Mapping[str, Scalar]) -> int | None:
    """The integer `symbol` for which a linear `term` has the value `observed`, or None if there is none.

    Linear is decided by evaluating: the line through the values at 2 and 3 must also meet the solution.
    """
    if isinstance(term, Symbol):
        return observed if term.name == symbol else None
    if symbol not in free_symbols(term):
        return None
    try:
        at = [evaluate(term, {**known, symbol: point}) for point in (2, 3)]
        slope = at[1] - at[0]
        if not slope:
            return None
        solution, rest = divmod(observed - at[0], slope)
        value = int(solution) + 2
        if rest or evaluate(term, {**known, symbol: value}) != observed:
            return None
    except SymbolError:
        return None
    return value
