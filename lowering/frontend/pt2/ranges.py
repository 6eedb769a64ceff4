"""Which sizes a call may have: the exporter's ranges, less what `ExportedProgram.module()` does not check.

The exporter takes every dynamic size to be 2 or more and writes that down as a bound. torch checks no lower
bound up to 2: at run time 1 and 0 are sizes like others. It checks the range of an input's size as written,
`2*s77` too, so that its bound bounds the symbol.
"""

from __future__ import annotations

from collections.abc import Mapping

from lowering.ir.program import Range
from lowering.ir.symbol_parser import parse_guard
from lowering.ir.symbols import Expr, Symbol, SymbolError, evaluate, free_symbols, is_unbacked

# The greatest lower bound that is an assumption of the exporter's and no condition.
_ASSUMED = 2


def called_ranges(written: Mapping[str, Range]) -> dict[str, Range]:
    """The range of each symbol, from those of symbols and of expressions (by their text)."""
    ranges = {name: _checked(name, bounds) for name, bounds in written.items() if name.isidentifier()}
    for text, bounds in written.items():
        if not text.isidentifier():
            _tighten(ranges, text, _checked(text, bounds))
    return ranges


def _checked(name: str, bounds: Range) -> Range:
    if is_unbacked(name) or bounds.low is None or bounds.low > _ASSUMED:
        return bounds
    return Range(None, bounds.high)


def _tighten(ranges: dict[str, Range], text: str, bounds: Range) -> None:
    """Bound the one symbol of an expression that is a line of positive slope; others follow from theirs."""
    try:
        term = parse_guard(text)
        names = free_symbols(term)
        (name,) = names if len(names) == 1 else ("",)
        if name not in ranges or isinstance(term, Symbol) or not (line := _line(term, name)):
            return
    except SymbolError:
        return
    offset, step = line
    low, high = ranges[name]
    if bounds.low is not None:
        least = -((offset - bounds.low) // step)
        low = least if low is None else max(low, least)
    if bounds.high is not None:
        most = (bounds.high - offset) // step
        high = most if high is None else min(high, most)
    if low is None or high is None or low <= high:
        ranges[name] = Range(low, high)


def _line(term: Expr, name: str) -> tuple[int, int] | None:
    """`(offset, step)` of `offset + step * symbol`, by its values at three places."""
    a, b, c = (evaluate(term, {name: place}) for place in (2, 3, 7))
    step = b - a
    if not isinstance(a, int) or not isinstance(step, int) or step < 1 or c != a + 5 * step:
        return None
    return a - 2 * step, step
