"""Facts from the sizes of a program's tensors: in a module for all sizes, none is empty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lowering.ir.polynomials import Polynomial, added, polynomial, term_of
from lowering.ir.program import Range
from lowering.ir.symbols import Apply, Term
from lowering.ir.term_bounds import bounds

#: The site of a guard that only excludes what eager refuses too, and tensors without elements.
OWN = "the program's own"


class Sizes:
    """Sizes that are 1 or more."""

    def __init__(self, ranges: Mapping[str, Range], sizes: Sequence[Term]) -> None:
        self._ranges = ranges
        self._facts: list[tuple[Polynomial, Term]] = []
        for size in dict.fromkeys(sizes):
            if isinstance(size, Apply) and bounds(size, ranges)[0] < 1:
                value = polynomial(size)
                self._facts += [(fact, term_of(value)) for fact in (value, *_below_division(value))]

    def tell(self, value: Polynomial, least: int) -> Term | None:
        """The size from which it follows that a value is `least` or more."""
        for fact, size in self._facts:
            if bounds(term_of(added(value, fact, -1)), self._ranges)[0] >= least - 1:
                return size
        return None


def _below_division(value: Polynomial) -> list[Polynomial]:
    """Of `c + x // k`, which is 1 or more: `x - (1 - c) * k + 1`, which is then too."""
    rest = {monomial: factor for monomial, factor in value.items() if monomial}
    if len(rest) != 1:
        return []
    (((monomial), factor),) = rest.items()
    division = monomial[0]
    if factor != 1 or len(monomial) != 1 or not isinstance(division, Apply) or division.op != "FloorDiv":
        return []
    dividend, divisor = division.args
    if not isinstance(divisor, int):
        return []
    constant = int(value.get((), 0))
    return [added(polynomial(dividend), {(): 1 - (1 - constant) * divisor})]
