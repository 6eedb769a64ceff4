"""The states of values, and the arithmetic on sizes that rules need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from lowering.ir.symbols import Dim, Symbol, free_symbols
from lowering.stablehlo.symbolic import Assumptions, term


@dataclass(frozen=True, slots=True)
class Layout:
    """Where rows lie along an axis of `outer * batch * inner` elements: row i has those at
    `(o * batch + i) * inner + k`."""

    outer: int = 1
    inner: int = 1


PLAIN = Layout()


@dataclass(frozen=True, slots=True)
class Same:
    """The same value at every size."""


SAME = Same()


@dataclass(frozen=True, slots=True)
class Rows:
    """A value with rows along `axis`.

    `layout`: how they lie there; None where all elements along the axis are equal, so that any would do.
    `alike`: whether equal rows of the arguments give equal rows. The number of a row is not.
    """

    axis: int
    layout: Layout | None = PLAIN
    alike: bool = True


@dataclass(frozen=True, slots=True)
class Mixed:
    """A value whose rows depend on others, or on how many there are. `node`: the one that mixed them."""

    reason: str
    node: str = ""


State: TypeAlias = Same | Rows | Mixed


class MixedRows(Exception):
    """Raised by a rule: this operation mixes rows."""


class Batch:
    """One symbol, the batch size, among the sizes of a module."""

    def __init__(self, symbol: str, assumptions: Assumptions) -> None:
        self.symbol = symbol
        self._assumptions = assumptions

    def sizes(self, size: int) -> bool:
        """Whether a size depends on the batch size."""
        return self.symbol in free_symbols(term(size))

    def axes(self, shape: Sequence[int]) -> list[int]:
        """The axes whose sizes depend on the batch size."""
        return [axis for axis, size in enumerate(shape) if self.sizes(size)]

    def equal(self, left: int, right: int) -> bool:
        """Whether two sizes are equal at all sizes."""
        return self._assumptions.provably_equal(term(left), term(right))

    def at_most(self, left: int, right: int) -> bool:
        """Whether a size is at most another, at all sizes."""
        return self._assumptions.provably_less(term(left), term(right + 1))

    def quotient(self, value: int, by: int) -> int | None:
        """A size divided by another; None where it may leave a rest."""
        found = value // by
        return found if self.equal(found * by, value) else None

    def per_row(self, size: int) -> int:
        """How many elements of an axis of this size each row has. Raises MixedRows."""
        found = self.quotient(size, self.size)
        if found is None or self.sizes(found):
            raise MixedRows(f"has an axis of {size}")
        return found

    @property
    def size(self) -> int:
        """The batch size itself."""
        return self._assumptions.size(Symbol(self.symbol))

    def size_of(self, size: Dim) -> int:
        """A size of an expression."""
        return self._assumptions.size(size)

    def fits(self, state: State, shape: Sequence[int]) -> bool:
        """Whether a state can be that of a value of this shape."""
        if isinstance(state, Mixed):
            return True
        wanted = [state.axis] if isinstance(state, Rows) else []
        if self.axes(shape) != wanted:
            return False
        if not isinstance(state, Rows) or state.layout is None:
            return True
        return self.equal(state.layout.outer * self.size * state.layout.inner, shape[state.axis])

    def joined(self, states: Iterable[State]) -> State:
        """The state of what has an element for each place of values of one shape. Raises MixedRows."""
        result: State = SAME
        rows = [state for state in states if isinstance(state, Rows)]
        for state in rows:
            result = self._both(result, state) if isinstance(result, Rows) else state
        return result

    def _both(self, left: Rows, right: Rows) -> Rows:
        if left.axis != right.axis:
            raise MixedRows("takes the batch axis beside another axis")
        layout = left.layout or right.layout
        if left.layout and right.layout and not self._alike(left.layout, right.layout):
            raise MixedRows("takes rows that lie otherwise")
        return Rows(left.axis, layout, left.alike and right.alike)

    def _alike(self, left: Layout, right: Layout) -> bool:
        return self.equal(left.outer, right.outer) and self.equal(left.inner, right.inner)
