"""Sizes that are known only at the call: `SymbolicSize` stands for an int in rules, and keeps its expression.

Rules compute with sizes as with ints. A question that a size must answer (`size > 16`) is answered for all
sizes where the expressions or the ranges tell. Otherwise the example's size answers, and the answer becomes a
guard: the module is for the sizes that give the same. A plain number cannot be had: that is `Specialised`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from lowering.ir.polynomials import (
    Polynomial,
    added,
    floor_divided,
    multiplied,
    normal,
    polynomial,
    scaled,
    term_of,
)
from lowering.ir.program import Range
from lowering.ir.symbols import Apply, Dim, Expr, Scalar, Term, evaluate, free_symbols, to_text
from lowering.ir.term_bounds import bounds
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.size_facts import OWN, Sizes

if TYPE_CHECKING:
    from lowering.stablehlo.size_values import SizeValues

_COMPARISONS = {
    "Equality": ("Equality", False),
    "Unequality": ("Equality", True),
    "StrictLessThan": ("StrictLessThan", False),
    "GreaterThan": ("StrictLessThan", True),
}
_MIRRORED = {"StrictGreaterThan": "StrictLessThan", "LessThan": "GreaterThan"}
_MAX_POWER = 8


class Specialised(Unsupported):
    """A rule takes a size as a plain number: its node is lowered for one size at a time."""


class Assumptions:
    """The sizes of an emission, and what it takes for granted of them.

    `ranges`: bounds by symbol. `example`: a value of each symbol, which answers a question that nothing else
    does. `guards`: those answers, each with the line of the rule that asked. `zero`: expressions that the
    program says are 0. `sizes`: those of the program's tensors, none of which is empty.
    """

    def __init__(
        self,
        ranges: Mapping[str, Range],
        example: Mapping[str, int],
        zero: Sequence[Polynomial] = (),
        sizes: Sequence[Term] = (),
    ) -> None:
        self.ranges = ranges
        self.example = example
        self.guards: dict[Term, str] = {}
        self._values: Any = None
        self._zero = [fact for fact in zero if fact]
        self._sizes = Sizes(ranges, sizes)

    @property
    def values(self) -> SizeValues:
        """The sizes as values of the module that is being built."""
        assert self._values is not None
        return self._values

    @values.setter
    def values(self, values: SizeValues) -> None:
        self._values = values

    def size(self, term: Term) -> int:
        """An expression as a size: an int where all its symbols cancel out."""
        form = normal(term)
        if isinstance(form, bool | int):
            return int(form)
        if isinstance(form, float):
            raise Specialised(f"{to_text(term)} is computed from sizes as a float")
        return cast(int, SymbolicSize(form, self))

    def scalar(self, term: Term) -> Scalar:
        """The value of a symbolic scalar: a size, or the truth of a condition. Raises Specialised."""
        if isinstance(term, Apply):
            if term.op in _COMPARISONS or term.op in _MIRRORED or term.op in ("And", "Or", "Not"):
                return self._holds(term)
            if term.op not in _INTEGERS:
                raise Specialised(f"{to_text(term)} is computed from sizes as a float")
        return self.size(term)

    def _holds(self, term: Term) -> bool:
        if not isinstance(term, Apply):
            return bool(term)
        if term.op in ("And", "Or"):
            return (all if term.op == "And" else any)(self._holds(arg) for arg in term.args)
        if term.op == "Not":
            return not self._holds(term.args[0])
        left, right = term.args
        if term.op in _MIRRORED:
            return self.holds(_MIRRORED[term.op], right, left)
        return self.holds(term.op, left, right)

    def holds(self, op: str, left: Term, right: Term) -> bool:
        """Whether a comparison holds: for all sizes if that can be told, else at the example's."""
        asked, negated = _COMPARISONS[op]
        difference = added(polynomial(left), polynomial(right), -1)
        known = self._known(asked, difference)
        if known is None and asked == "Equality" and 1 in (left, right):
            # Code for sizes other than 1 is right for 1 too: stretching by a factor of 1 changes nothing.
            known = False
        if known is None:
            known = self._by_sizes(asked, difference)
        if known is None:
            known = self._assumed(op, left, right, difference) != negated
        return known != negated

    def provably_equal(self, left: Term, right: Term) -> bool:
        """Whether two sizes are the same at all sizes; a question that makes no guard."""
        difference = added(polynomial(left), polynomial(right), -1)
        return self._known("Equality", difference) is True

    def provably_less(self, left: Term, right: Term) -> bool:
        """Whether one size is less than another at all sizes; a question that makes no guard."""
        return self._known("StrictLessThan", added(polynomial(left), polynomial(right), -1)) is True

    def _known(self, asked: str, difference: Polynomial) -> bool | None:
        if not difference:
            return asked == "Equality"
        if set(difference) == {()}:
            return asked == "StrictLessThan" and difference[()] < 0
        if any(_proportional(difference, fact) for fact in self._zero):
            return asked == "Equality"
        low, high = bounds(term_of(difference), self.ranges)
        if asked == "Equality":
            return False if low > 0 or high < 0 else None
        return True if high < 0 else False if low >= 0 else None

    def _by_sizes(self, asked: str, difference: Polynomial) -> bool | None:
        """The answer that follows as no tensor is empty; the module is for no others then."""
        negative = self._sizes.tell(scaled(difference, -1), 1)
        fact = negative or self._sizes.tell(difference, int(asked == "Equality"))
        if fact is None:
            return None
        self.guards.setdefault(Apply("StrictLessThan", (0, fact)), OWN)
        return asked != "Equality" and negative is not None

    def require(self, op: str, left: Term, right: Term) -> bool:
        """Whether a comparison holds for the example, of sizes that eager refuses where it does not.

        It is a guard of the program's own then.
        """
        asked, negated = _COMPARISONS[op]
        difference = added(polynomial(left), polynomial(right), -1)
        known = self._known(asked, difference)
        if known is not None:
            return known != negated
        guard = Apply(op, (normal(left), normal(right)))
        if not evaluate(guard, self.example):
            return False
        self.guards.setdefault(guard, OWN)
        if op == "Equality":
            self._zero.append(difference)
        return True

    def _assumed(self, op: str, left: Term, right: Term, difference: Polynomial) -> bool:
        value = evaluate(term_of(difference), self.example)
        asked, negated = _COMPARISONS[op]
        answer = (value == 0 if asked == "Equality" else value < 0) != negated
        opposite = {"Equality": "Unequality", "Unequality": "Equality"}.get(op) or (
            "GreaterThan" if op == "StrictLessThan" else "StrictLessThan"
        )
        guard = Apply(op if answer else opposite, (normal(left), normal(right)))
        self.guards.setdefault(guard, _asker())
        return answer


_INTEGERS = frozenset(
    {"Add", "Mul", "Pow", "PowByNatural", "FloorDiv", "CleanDiv", "CeilDiv", "Mod", "PythonMod", "Max", "Min"}
)


def _proportional(value: Polynomial, fact: Polynomial) -> bool:
    if value.keys() != fact.keys():
        return False
    ratios = {value[monomial] / fact[monomial] for monomial in value}
    return len(ratios) == 1


def _asker() -> str:
    """The innermost line of a rule on the stack, or else of the builder."""
    frame, found = sys._getframe(1), ""
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.parent.name == "ops":
            return f"{path.parent.name}/{path.name}:{frame.f_lineno}"
        if not found and path.name not in ("symbolic.py", "polynomials.py"):
            found = f"{path.parent.name}/{path.name}:{frame.f_lineno}"
        frame = frame.f_back
    return found


def is_symbolic(size: object) -> bool:
    """Whether a size is known only at the call. `isinstance` cannot tell: such a size poses as an int."""
    return type(size) is SymbolicSize


def first_symbolic(sizes: Sequence[Any]) -> SymbolicSize | None:
    """The first size that is known only at the call."""
    return next((size for size in sizes if type(size) is SymbolicSize), None)


def any_symbolic(sizes: Sequence[Any]) -> bool:
    """Whether any of these is known only at the call."""
    return any(type(size) is SymbolicSize for size in sizes)


def term(size: int) -> Dim:
    """A size as an expression."""
    return size.term if type(size) is SymbolicSize else size


class SymbolicSize:
    """A size as an expression over symbols.

    It is not a subclass of int: C code would take a subclass's value unseen, where of this it must ask
    `__index__`. `isinstance(size, int)` is True all the same: rules tell numbers from tensors by it.
    """

    __slots__ = ("assumptions", "term")

    def __init__(self, expression: Expr, assumptions: Assumptions) -> None:
        self.term = expression
        self.assumptions = assumptions

    @property
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]
        return int

    def _combined(
        self, other: Any, combine: Callable[[Polynomial, Polynomial], Polynomial], swap: bool = False
    ) -> Any:
        if type(other) not in (int, bool, SymbolicSize):
            return self._refuse("in arithmetic of floats") if isinstance(other, float) else NotImplemented
        parts = [polynomial(self.term), polynomial(term(other))]
        return self.assumptions.size(term_of(combine(*(parts[::-1] if swap else parts))))

    def __add__(self, other: Any) -> Any:
        return self._combined(other, added)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self._combined(other, lambda a, b: added(a, b, -1))

    def __rsub__(self, other: Any) -> Any:
        return self._combined(other, lambda a, b: added(a, b, -1), swap=True)

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, list | tuple):
            self._refuse("as a count of entries")
        return self._combined(other, multiplied)

    __rmul__ = __mul__

    def __floordiv__(self, other: Any) -> Any:
        return self._combined(other, floor_divided)

    def __rfloordiv__(self, other: Any) -> Any:
        return self._combined(other, floor_divided, swap=True)

    def __mod__(self, other: Any) -> Any:
        return self - self // other * other

    def __rmod__(self, other: Any) -> Any:
        return other - other // self * self

    def __divmod__(self, other: Any) -> tuple[Any, Any]:
        return self // other, self % other

    def __pow__(self, other: Any) -> Any:
        if type(other) is int and 0 <= other <= _MAX_POWER:
            return prod([self] * other)
        return self._refuse("as the base of a power")

    def __lshift__(self, other: Any) -> Any:
        return self * (1 << other)

    def __rshift__(self, other: Any) -> Any:
        return self // (1 << other)

    def __neg__(self) -> Any:
        return self * -1

    def __pos__(self) -> SymbolicSize:
        return self

    def __abs__(self) -> Any:
        return self if self >= 0 else -self

    def _asked(self, op: str, other: Any) -> Any:
        if type(other) in (int, bool, SymbolicSize):
            return self.assumptions.holds(op, self.term, term(other))
        if isinstance(other, float):
            return self._refuse("beside a float")
        return NotImplemented

    def __eq__(self, other: object) -> Any:
        return self._asked("Equality", other)

    def __ne__(self, other: object) -> Any:
        return self._asked("Unequality", other)

    def __lt__(self, other: Any) -> Any:
        return self._asked("StrictLessThan", other)

    def __ge__(self, other: Any) -> Any:
        return self._asked("GreaterThan", other)

    def __gt__(self, other: Any) -> Any:
        if type(other) in (int, bool, SymbolicSize):
            return self.assumptions.holds("StrictLessThan", term(other), self.term)
        return self._asked("StrictLessThan", other)

    def __le__(self, other: Any) -> Any:
        if type(other) in (int, bool, SymbolicSize):
            return self.assumptions.holds("GreaterThan", term(other), self.term)
        return self._asked("GreaterThan", other)

    def __bool__(self) -> bool:
        return self.assumptions.holds("Unequality", self.term, 0)

    def __hash__(self) -> int:
        return hash(("size", self.term))

    def __repr__(self) -> str:
        return to_text(self.term)

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return to_text(self.term)

    def __index__(self) -> int:
        self._refuse("as a plain number")

    def __int__(self) -> int:
        self._refuse("as a plain number")

    def __float__(self) -> float:
        self._refuse("as a float")

    def __truediv__(self, other: Any) -> Any:
        return self._refuse("as a float")

    def __rtruediv__(self, other: Any) -> Any:
        return self._refuse("as a float")

    def __and__(self, other: Any) -> Any:
        return self._refuse("in bits")

    def bit_length(self) -> int:
        self._refuse("in bits")

    def __iter__(self) -> Iterator[Any]:
        raise TypeError("a size is not iterable")

    def _refuse(self, how: str) -> NoReturn:
        raise Specialised(f"its rule takes the size {self} {how} ({_asker()})")


class SymbolicSizes(Mapping[str, int]):
    """The symbols of a program as sizes of one emission."""

    def __init__(self, assumptions: Assumptions) -> None:
        self.assumptions = assumptions

    def __getitem__(self, name: str) -> int:
        return self.assumptions.example[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.assumptions.example)

    def __len__(self) -> int:
        return len(self.assumptions.example)

    def scalar(self, expression: Term) -> Scalar | None:
        """An expression as a size of the emission; None where a symbol of it is not one of these."""
        if free_symbols(expression) <= self.assumptions.example.keys():
            return self.assumptions.scalar(expression)
        return None
