"""Give products whose sizes a call says one free and one contracted axis, and one batch axis at most."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from lowering.stablehlo.hlo import ir, stablehlo
from lowering.stablehlo.passes.parsed import ParsedModule
from lowering.stablehlo.passes.parsed_dynamic import is_dynamic
from lowering.stablehlo.passes.rewrite import cx, everywhere, replace
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
    if all(side.is_plain for side in sides):
        return
    result = Value(op.operation.results[0])
    flat = [side.flat() for side in sides]
    count = 1 if batches[0] else 0
    batch = ([0], [0]) if count else ((), ())
    made = cx.dot_general(*flat, contract=([count + 1], [count + 1]), batch=batch, out=result.dtype)
    replace(op, cx.reshape(made, result.shape))


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
        moved = cx.transpose(self.value, [*self.batch, *self.free, *self.contracted])
        batch = [self._size(self.batch)] if self.batch else []
        return cx.reshape(moved, [*batch, self._size(self.free), self._size(self.contracted)])

    def _size(self, axes: Sequence[int]) -> int:
        return prod(self.value.shape[axis] for axis in axes)
