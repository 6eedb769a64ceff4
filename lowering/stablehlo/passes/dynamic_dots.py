"""Give products whose sizes a call says one free and one contracted axis, and one batch axis at most."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from lowering.ir.types import DType
from lowering.stablehlo.hlo import ir, stablehlo
from lowering.stablehlo.passes.parsed import ParsedModule
from lowering.stablehlo.passes.parsed_dynamic import is_dynamic
from lowering.stablehlo.passes.rewrite import cx, everywhere, replace
from lowering.stablehlo.symbolic import any_symbolic
from lowering.stablehlo.value import Value


def rewrite(parsed: ParsedModule) -> None:
    for op in everywhere(parsed.block):
        if op.operation.name == "stablehlo.dot_general" and any(map(is_dynamic, op.operation.operands)):
            with ir.InsertionPoint(op), op.operation.location:
                _rewrite(op)


def _rewrite(op: Any) -> None:
    numbers = stablehlo.DotDimensionNumbers(op.dot_dimension_numbers)
    left, right = map(Value, op.operation.operands)
    batches = [list(numbers.lhs_batching_dimensions), list(numbers.rhs_batching_dimensions)]
    contracted = [list(numbers.lhs_contracting_dimensions), list(numbers.rhs_contracting_dimensions)]
    sides = [_Side(*parts) for parts in zip((left, right), batches, contracted, strict=True)]
    result = Value(op.operation.results[0])
    if _is_one(sides[0].contracted_size) or _is_one_row(sides):
        replace(op, cx.reshape(_by_multiplying(sides, result.dtype), result.shape))
    elif not all(side.is_plain for side in sides):
        flat = [side.flat() for side in sides]
        count = 1 if batches[0] else 0
        batch = ([0], [0]) if count else ((), ())
        made = cx.dot_general(*flat, contract=([count + 1], [count + 1]), batch=batch, out=result.dtype)
        replace(op, cx.reshape(made, result.shape))


def _is_one_row(sides: Sequence[_Side]) -> bool:
    """An engine may spell a product of one row by reshapes that it cannot do at such sizes."""
    return _is_one(sides[0].batch_size) and any(_is_one(side.free_size) for side in sides)


def _by_multiplying(sides: Sequence[_Side], dtype: DType) -> Value:
    """The product as [batch, free of the left, free of the right], term by term."""
    left, right = sides
    shape = (left.batch_size, left.free_size, right.free_size, left.contracted_size)
    rows = cx.reshape(cx.convert(left.moved(), dtype), [shape[0], shape[1], shape[3]])
    columns = cx.reshape(cx.convert(right.moved(), dtype), [shape[0], shape[2], shape[3]])
    spread = [cx.broadcast_in_dim(rows, shape, (0, 1, 3)), cx.broadcast_in_dim(columns, shape, (0, 2, 3))]
    return cx.reduce_sum(spread[0] * spread[1], [3])


def _is_one(size: int) -> bool:
    return not any_symbolic([size]) and size == 1


class _Side:
    """One operand of a product."""

    def __init__(self, value: Value, batch: list[int], contracted: list[int]) -> None:
        self.value, self.batch, self.contracted = value, batch, contracted
        self.free = [axis for axis in range(value.rank) if axis not in {*batch, *contracted}]

    @property
    def is_plain(self) -> bool:
        return (
            len(self.batch) <= 1 and self.batch in ([], [0]) and len(self.free) == len(self.contracted) == 1
        )

    def flat(self) -> Value:
        """The operand as [batch, free, contracted], the batch axis where there is one."""
        batch = [self.batch_size] if self.batch else []
        return cx.reshape(self.moved(), [*batch, self.free_size, self.contracted_size])

    def moved(self) -> Value:
        """The operand with its batch, free and contracted axes in this order."""
        return cx.transpose(self.value, [*self.batch, *self.free, *self.contracted])

    @property
    def batch_size(self) -> int:
        return self._size(self.batch)

    @property
    def free_size(self) -> int:
        return self._size(self.free)

    @property
    def contracted_size(self) -> int:
        return self._size(self.contracted)

    def _size(self, axes: Sequence[int]) -> int:
        return prod(self.value.shape[axis] for axis in axes)
