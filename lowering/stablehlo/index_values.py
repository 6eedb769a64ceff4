"""Symbolic sizes as values of type `index`, for compilers that take sizes so.

They are read and computed at the head of `@main`, beside StableHLO by the dialects `tensor` and `arith`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lowering.ir.symbols import Apply, Symbol, Term, to_text
from lowering.ir.term_bounds import bounds
from lowering.stablehlo.hlo import ir
from lowering.stablehlo.symbolic import Assumptions, Specialised, term


class IndexValues:
    """The sizes of a module, each computed once, before all that needs it."""

    def __init__(
        self, place: ir.InsertionPoint, symbols: Mapping[str, ir.Value], assumptions: Assumptions
    ) -> None:
        self._place = place
        self._found: dict[Term, ir.Value] = {Symbol(name): value for name, value in symbols.items()}
        self._vectors: dict[tuple[Term, ...], ir.Value] = {}
        self._wholes: dict[Term, ir.Value] = {}
        self._assumptions = assumptions

    def of(self, size: int) -> ir.Value:
        """A size as an `index`. Raises Specialised for one that has an operator without a value."""
        with self._place:
            return self._of(term(size))

    def vector(self, sizes: Sequence[int]) -> ir.Value:
        """Sizes as a tensor of `index` of rank 1."""
        key = tuple(map(term, sizes))
        if key not in self._vectors:
            parts = [self.of(size) for size in sizes]
            type_ = ir.RankedTensorType.get([len(parts)], ir.IndexType.get())
            with self._place:
                self._vectors[key] = make("tensor.from_elements", parts, type_)
        return self._vectors[key]

    def whole(self, size: int) -> ir.Value:
        """A size as data: a 0-d tensor of int64."""
        key = term(size)
        if key not in self._wholes:
            found, number = self.of(size), ir.IntegerType.get_signless(64)
            with self._place:
                made = make("arith.index_cast", [found], number)
                scalar = ir.RankedTensorType.get([], number)
                self._wholes[key] = make("tensor.from_elements", [made], scalar)
        return self._wholes[key]

    def _of(self, expression: Term) -> ir.Value:
        found = self._found.get(expression)
        if found is None:
            found = self._found[expression] = self._made(expression)
        return found

    def _made(self, expression: Term) -> ir.Value:
        index = ir.IndexType.get()
        if isinstance(expression, int):
            return index_constant(expression)
        operation = _OPERATIONS.get(expression.op) if isinstance(expression, Apply) else None
        if operation is None or not isinstance(expression, Apply):
            raise Specialised(f"a module does not compute the size {to_text(expression)}")
        if expression.op == "FloorDiv" and bounds(expression.args[1], self._assumptions.ranges)[0] <= 0:
            raise Specialised(f"a module does not compute the size {to_text(expression)}")
        result, *rest = [self._of(arg) for arg in expression.args]
        for part in rest:
            result = make(operation, [result, part], index)
        return result


_OPERATIONS = {
    "Add": "arith.addi",
    "Mul": "arith.muli",
    "Max": "arith.maxsi",
    "Min": "arith.minsi",
    "FloorDiv": "arith.floordivsi",
}

# ------------------------------------------------------------------ at the current insertion point


def make(name: str, operands: Sequence[ir.Value], type_: ir.Type, **attributes: ir.Attribute) -> ir.Value:
    """The result of a new operation of any dialect."""
    return ir.Operation.create(name, [type_], list(operands), attributes).results[0]


def index_constant(number: int) -> ir.Value:
    """A constant of type `index`."""
    index = ir.IndexType.get()
    return make("arith.constant", (), index, value=ir.IntegerAttr.get(index, number))


def read_index(value: ir.Value, axis: int, offset: int, step: int) -> ir.Value:
    """The symbol that the size of an axis shows as `offset + step * symbol`."""
    index = ir.IndexType.get()
    found = make("tensor.dim", [value, index_constant(axis)], index)
    if offset:
        found = make("arith.subi", [found, index_constant(offset)], index)
    return make("arith.divui", [found, index_constant(step)], index) if step != 1 else found


def index_in(scalar: ir.Value) -> ir.Value:
    """The number in a 0-d tensor of integers, as an `index`."""
    number = make("tensor.extract", [scalar], ir.RankedTensorType(scalar.type).element_type)
    return make("arith.index_cast", [number], ir.IndexType.get())
