"""Finding a symbol's value from an observed size."""

from __future__ import annotations

from collections.abc import Mapping

from lowering.ir.symbols import Scalar, Symbol, SymbolError, Term, evaluate, free_symbols


def line(term: Term, symbol: str, known: Mapping[str, Scalar]) -> tuple[int, int]:
    """`(offset, step)` of a term that is `offset + step * symbol`; a step of 0 for a term that is not linear.

    Decided by evaluating: the values at 2, 3 and 7 must lie on one line of integers.
    """
    try:
        a, b, c = (evaluate(term, {**known, symbol: point}) for point in (2, 3, 7))
    except SymbolError:
        return 0, 0
    step = b - a
    if not isinstance(a, int) or not isinstance(step, int) or c != a + 5 * step:
        return 0, 0
    return a - 2 * step, step


def solve(term: Term, observed: int, symbol: str, known: Mapping[str, Scalar]) -> int | None:
    """The integer `symbol` for which a linear `term` has the value `observed`, or None if there is none.

    A term that is linear near 2 and 3 only (`Max(s0, 1)`) counts if the solution has that value. A condition
    (`Eq(u0, 1)`, a boolean taken out of a tensor) has 0 or 1 for its symbol.
    """
    if isinstance(term, Symbol):
        return observed if term.name == symbol else None
    if symbol not in free_symbols(term):
        return None
    try:
        at = [evaluate(term, {**known, symbol: point}) for point in (2, 3)]
        if isinstance(at[0], bool):
            return next((x for x in (0, 1) if evaluate(term, {**known, symbol: x}) == observed), None)
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
