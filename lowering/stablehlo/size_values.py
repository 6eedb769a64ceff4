"""Symbolic sizes as values of a module: read off its inputs, and computed at the head of `@main`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np

from lowering.ir.module import Port
from lowering.ir.symbol_solving import line
from lowering.ir.symbols import Apply, Symbol, Term, free_symbols, to_text
from lowering.ir.term_bounds import bounds
from lowering.stablehlo.hlo import dense, ir, stablehlo
from lowering.stablehlo.symbolic import Assumptions, Specialised, SymbolicSize, first_symbolic, term


class SizeValues:
    """The sizes of a module as 0-d tensors, each computed once, before all that needs it.

    They are of int64; of float64, as Python computes, where a program makes a float of a size.
    """

    def __init__(
        self, place: ir.InsertionPoint, symbols: Mapping[str, ir.Value], assumptions: Assumptions
    ) -> None:
        self._place = place
        self._found: dict[Term, ir.Value] = {Symbol(name): value for name, value in symbols.items()}
        self._tensors: dict[tuple[Term, ...], ir.Value] = {}
        self._assumptions = assumptions

    def of(self, expression: Term) -> ir.Value:
        """The value of an expression in normal form. Raises Specialised for an operator that has none."""
        found = self._found.get(expression)
        if found is None:
            with self._place:
                found = self._found[expression] = self._made(expression)
        return found

    def tensor(self, expressions: tuple[Term, ...]) -> ir.Value:
        """Expressions as a tensor of rank 1."""
        found = self._tensors.get(expressions)
        if found is None:
            one = ir.RankedTensorType.get([1], ir.IntegerType.get_signless(64))
            parts = [self.of(expression) for expression in expressions]
            with self._place:
                rows = [stablehlo.reshape(one, part) for part in parts]
                found = rows[0] if len(rows) == 1 else stablehlo.concatenate(rows, 0)
            self._tensors[expressions] = found
        return found

    def _made(self, expression: Term) -> ir.Value:
        if not isinstance(expression, Apply):
            if isinstance(expression, Symbol):
                raise Specialised(f"no input shows the size {expression.name}")
            is_float = isinstance(expression, float)
            data = np.array(expression, np.float64 if is_float else np.int64)
            return stablehlo.constant(dense(data, _float() if is_float else _scalar()))
        parts = [self.of(arg) for arg in expression.args]
        if expression.op == "FloorDiv":
            return self._floor(expression, *parts)
        if expression.op in _OF_FLOATS or any(part.type == _float() for part in parts):
            parts = [part if part.type == _float() else stablehlo.convert(_float(), part) for part in parts]
        combine = _OPERATIONS.get(expression.op)
        if combine is None and expression.op != "ToFloat":
            raise Specialised(f"a module does not compute the size {to_text(expression)}")
        return parts[0] if combine is None else reduce(combine, parts)

    def _floor(self, expression: Apply, value: ir.Value, by: ir.Value) -> ir.Value:
        """StableHLO's division rounds towards zero."""
        ranges = self._assumptions.ranges
        if bounds(expression.args[1], ranges)[0] <= 0:
            raise Specialised(f"a module does not compute the size {to_text(expression)}")
        if bounds(expression.args[0], ranges)[0] >= 0:
            return stablehlo.divide(value, by)
        rest = stablehlo.remainder(stablehlo.add(stablehlo.remainder(value, by), by), by)
        return stablehlo.divide(stablehlo.subtract(value, rest), by)


# Of more than 53 bits, Python divides exactly; no tensor has such sizes.
_OF_FLOATS = ("ToFloat", "IntTrueDiv", "FloatTrueDiv")
_OPERATIONS = {
    "IntTrueDiv": stablehlo.divide,
    "FloatTrueDiv": stablehlo.divide,
    "Add": stablehlo.add,
    "Mul": stablehlo.multiply,
    "Max": stablehlo.maximum,
    "Min": stablehlo.minimum,
}


def _scalar() -> ir.RankedTensorType:
    return ir.RankedTensorType.get([], ir.IntegerType.get_signless(64))


def _float() -> ir.RankedTensorType:
    return ir.RankedTensorType.get([], ir.F64Type.get())


def read_size(value: ir.Value, axis: int) -> ir.Value:
    """The size of a tensor's axis, a 0-d tensor of int64, at the insertion point."""
    return stablehlo.convert(_scalar(), stablehlo.get_dimension_size(value, axis))


def sizes_tensor(sizes: Sequence[int]) -> ir.Value:
    """Sizes as a tensor of int64 of rank 1, as dynamic operations take them."""
    found = first_symbolic(sizes)
    if found is not None:
        return found.assumptions.values.tensor(tuple(map(term, sizes)))
    data = np.array(list(sizes), np.int64)
    type_ = ir.RankedTensorType.get([len(sizes)], ir.IntegerType.get_signless(64))
    return stablehlo.constant(dense(data, type_))


def size_value(size: SymbolicSize) -> ir.Value:
    """A size as a 0-d tensor of int64, or of float64 where it is a float."""
    return size.assumptions.values.of(size.term)


def shown(ports: Sequence[Port], symbols: Sequence[str]) -> dict[str, tuple[int, int, int, int]]:
    """By symbol: the input and the axis that show it, as `offset + step * symbol`."""
    places = [(at, axis, term(size)) for at, port in enumerate(ports) for axis, size in enumerate(port.sizes)]
    found: dict[str, tuple[int, int, int, int]] = {}
    for plain in (True, False):
        for at, axis, size in places:
            free = free_symbols(size)
            if len(free) != 1 or isinstance(size, Symbol) is not plain:
                continue
            (symbol,) = free
            offset, step = line(size, symbol, {})
            if symbol in symbols and step > 0:
                found.setdefault(symbol, (at, axis, offset, step))
    return found
