"""Compute attention whose scores do not fit the caches in blocks of rows, each used up before the next.

Two matmuls with batch axes enclose the attention: the first makes scores [batch..., rows..., columns], the
second sums over the columns. Each operation between them keeps to its row, as softmax does. So all of it can
run on parts of the rows in turn, as in "FlashAttention" (Dao et al., 2022). Columns stay whole: results are
the same numbers. The operations between them are identified by their function, in any spelling.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

from lowering.stablehlo.hlo import func, ir, stablehlo
from lowering.stablehlo.passes.parsed import ParsedModule, nbytes
from lowering.stablehlo.passes.rewrite import ELEMENTWISE, clone, cx
from lowering.stablehlo.value import Value, broadcast_in_dim

# Scores of more bytes than this are split, into blocks of at most this.
_BLOCK = 4 << 20
# Each block is a few operations to compile.
_MOST_BLOCKS = 64

# For some of a value's axes, from where to where.
Window = dict[int, tuple[int, int]]


class _Refused(Exception):
    """An operation that does not keep to its row."""


@dataclass
class Scores:
    """A first product at `start` of the block's operations, the last second one at `end`.

    `behind`: all values between that depend on the first. `used`: those of them that are read after the end.
    """

    first: Any
    behind: set[ir.Value]
    used: dict[ir.Value, list[tuple[Any, int]]]
    last: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return Value(self.first.result).shape


def rewrite(parsed: ParsedModule) -> None:
    entry = parsed.entry
    for op in list(entry.entry_block.operations):
        if op.operation.name == "stablehlo.dot_general" and nbytes(op.result) > _BLOCK:
            found = _find(entry, op)
            if found is not None:
                _split(found)


# ------------------------------------------------------------------------------ which


def _find(entry: func.FuncOp, first: Any) -> Scores | None:
    numbers = stablehlo.DotDimensionNumbers(first.dot_dimension_numbers)
    if not list(numbers.lhs_batching_dimensions) or not _has_one_column_axis(first):
        return None
    operations = list(entry.entry_block.operations)
    place = {op.operation: at for at, op in enumerate(operations)}
    shape = Value(first.result).shape
    behind: set[ir.Value] = {first.result}
    end, is_summed = place[first.operation], False
    for at in range(end + 1, len(operations)):
        op = operations[at].operation
        read = [operand for operand in op.operands if operand in behind]
        if not read:
            continue
        behind |= set(op.results)
        if any(Value(operand).shape == shape for operand in read):
            end = at
            if op.name == "stablehlo.dot_general":
                if not _sums_columns(op.opview, behind, shape):
                    return None
                is_summed = True
        elif is_summed and not _scores_left(behind, shape, place, at):
            break
    if not is_summed:
        return None
    # In the order of the operations, not of the set: same module, same bytes.
    inside = [value for op in operations[: end + 1] for value in op.operation.results if value in behind]
    used: dict[ir.Value, list[tuple[Any, int]]] = {}
    for value in inside:
        later = [(use.owner, use.operand_number) for use in value.uses if place.get(use.owner, -1) > end]
        unknown = any(use.owner not in place for use in value.uses)
        if unknown:
            return None
        if later:
            used[value] = later
    return Scores(first, set(inside), used, operations[end])


def _scores_left(behind: set[ir.Value], shape: tuple[int, ...], place: dict[Any, int], at: int) -> bool:
    """Whether scores are read by an operation after this one."""
    scores = (value for value in behind if Value(value).shape == shape)
    return any(place.get(use.owner, -1) > at for value in scores for use in value.uses)


def _has_one_column_axis(op: Any) -> bool:
    numbers = stablehlo.DotDimensionNumbers(op.dot_dimension_numbers)
    taken = len(list(numbers.rhs_batching_dimensions)) + len(list(numbers.rhs_contracting_dimensions))
    return Value(op.rhs).rank - taken == 1 and Value(op.result).rank >= 3


def _sums_columns(op: Any, behind: set[ir.Value], shape: tuple[int, ...]) -> bool:
    """Whether a product takes scores on its left, and sums over their columns."""
    numbers = stablehlo.DotDimensionNumbers(op.dot_dimension_numbers)
    batch = list(numbers.lhs_batching_dimensions)
    columns = [len(shape) - 1]
    alike = Value(op.lhs).shape == shape and list(numbers.lhs_contracting_dimensions) == columns
    return op.lhs in behind and op.rhs not in behind and alike and batch == list(range(len(batch)))


# ------------------------------------------------------------------------------ the blocks


def _split(found: Scores) -> None:
    """Compute what is read afterwards block by block, and let it be read."""
    rows = found.shape[:-1]
    shapes = [Value(value).shape for value in found.used]
    if not shapes or any(shape[: len(rows)] != rows or shape == found.shape for shape in shapes):
        return
    steps = _steps(found.shape, Value(found.first.result).dtype.itemsize)
    blocks = _Blocks(found.behind)
    after = ir.InsertionPoint.after(found.last.operation)
    try:
        with after, found.last.location:
            whole = _assembled(blocks, list(found.used), steps, {})
    except _Refused:
        return
    for made, uses in zip(whole, found.used.values(), strict=True):
        for owner, number in uses:
            owner.operands[number] = made.ir


def _steps(shape: tuple[int, ...], itemsize: int) -> list[int]:
    """How many indices of each axis but the last a block has."""
    most = max(_BLOCK, prod(shape) * itemsize // _MOST_BLOCKS)
    steps: list[int] = []
    for axis, size in enumerate(shape[:-1]):
        each = prod(shape[axis + 1 :]) * itemsize
        fits = all(step == 1 for step in steps)
        step = min(size, max(1, most // each)) if fits else size
        if fits and axis == len(shape) - 2 and 16 < step < size:
            step -= step % 16
        steps.append(step)
    return steps


def _assembled(blocks: _Blocks, values: list[ir.Value], steps: list[int], window: Window) -> list[Value]:
    """The values, block after block: the operands of one are used up before the next."""
    axis = len(window)
    if axis == len(steps):
        return [blocks.part(value, window) for value in values]
    size = Value(values[0]).shape[axis]
    edges = [*range(0, size, steps[axis]), size]
    pieces = [_assembled(blocks, values, steps, {**window, axis: edge}) for edge in pairwise(edges)]
    if len(pieces) == 1:
        return pieces[0]
    return [cx.concatenate(list(parts), axis) for parts in zip(*pieces, strict=True)]


class _Blocks:
    """Parts of values; values that depend on scores are computed anew from parts."""

    def __init__(self, behind: set[ir.Value]) -> None:
        self._behind = behind
        self._made: dict[tuple[ir.Value, tuple[tuple[int, tuple[int, int]], ...]], Value] = {}

    def part(self, value: ir.Value, window: Window) -> Value:
        """The part of a value in a window. Raises _Refused."""
        shape = Value(value).shape
        window = {axis: edge for axis, edge in window.items() if edge != (0, shape[axis])}
        if not window:
            return Value(value)
        key = (value, tuple(sorted(window.items())))
        if key not in self._made:
            self._made[key] = self._part(value, window)
        return self._made[key]

    def _part(self, value: ir.Value, window: Window) -> Value:
        sizes = _sizes(Value(value).shape, window)
        owner = value.owner
        if isinstance(owner, ir.Block):
            return _cut(Value(value), window)
        name = owner.name
        if name == "stablehlo.broadcast_in_dim":
            operand = owner.operands[0]
            places = tuple(ir.DenseI64ArrayAttr(owner.attributes["broadcast_dimensions"]))
            kept = {
                at: window[axis]
                for at, axis in enumerate(places)
                if axis in window and Value(operand).shape[at] > 1
            }
            return broadcast_in_dim(self.part(operand, kept), sizes, places)
        if value not in self._behind:
            return _cut(Value(value), window)
        if name in ELEMENTWISE:
            return clone(owner.opview, [self.part(o, _of(o, window)) for o in owner.operands], sizes)
        rule = {
            "stablehlo.dot_general": self._product,
            "stablehlo.reduce": self._reduced,
            "stablehlo.reshape": self._reshaped,
        }.get(name)
        if rule is None:
            raise _Refused
        return rule(owner.opview, window, sizes)

    def _product(self, op: Any, window: Window, sizes: tuple[int, ...]) -> Value:
        numbers = stablehlo.DotDimensionNumbers(op.dot_dimension_numbers)
        batch = [list(numbers.lhs_batching_dimensions), list(numbers.rhs_batching_dimensions)]
        summed = list(numbers.lhs_contracting_dimensions)
        free = [axis for axis in range(Value(op.lhs).rank) if axis not in (*batch[0], *summed)]
        left = [*batch[0], *free]
        if any(axis >= len(left) for axis in window):
            raise _Refused
        first = self.part(op.lhs, {left[axis]: edge for axis, edge in window.items()})
        shared = {batch[1][axis]: edge for axis, edge in window.items() if axis < len(batch[1])}
        second = self.part(op.rhs, shared)
        if any(size > 1 for size in sizes[: len(batch[0])]):
            return clone(op, [first, second], sizes)
        # One head's product: engines have faster ones without batch axes.
        contract = (summed, list(numbers.rhs_contracting_dimensions))
        left_alone, left_summed = _without(first, batch[0], contract[0])
        right_alone, right_summed = _without(second, batch[1], contract[1])
        made = cx.dot_general(
            left_alone, right_alone, (left_summed, right_summed), out=Value(op.result).dtype
        )
        return cx.reshape(made, sizes)

    def _reduced(self, op: Any, window: Window, sizes: tuple[int, ...]) -> Value:
        operand, *seeds = op.operation.operands
        if len(seeds) != 1:
            raise _Refused
        dims = list(ir.DenseI64ArrayAttr(op.attributes["dimensions"]))
        kept = [axis for axis in range(Value(operand).rank) if axis not in dims]
        inner = self.part(operand, {kept[axis]: edge for axis, edge in window.items()})
        return clone(op, [inner, Value(seeds[0])], sizes)

    def _reshaped(self, op: Any, window: Window, sizes: tuple[int, ...]) -> Value:
        """Axes of one element come or go."""
        operand = Value(op.operand)
        inner = [axis for axis, size in enumerate(operand.shape) if size > 1]
        outer = [axis for axis, size in enumerate(Value(op.result).shape) if size > 1]
        if [operand.shape[axis] for axis in inner] != [Value(op.result).shape[axis] for axis in outer]:
            raise _Refused
        moved = dict(zip(outer, inner, strict=True))
        return cx.reshape(self.part(op.operand, {moved[axis]: edge for axis, edge in window.items()}), sizes)


def _without(value: Value, batch: list[int], summed: list[int]) -> tuple[Value, list[int]]:
    """A value without its batch axes, which have one element each, and where the summed ones are then."""
    kept = [axis for axis in range(value.rank) if axis not in batch]
    return cx.reshape(value, [value.shape[axis] for axis in kept]), [kept.index(axis) for axis in summed]


def _of(operand: ir.Value, window: Window) -> Window:
    """An operand's window in an elementwise operation, where single numbers are whole."""
    return window if Value(operand).rank else {}


def _sizes(shape: tuple[int, ...], window: Window) -> tuple[int, ...]:
    return tuple(
        window[axis][1] - window[axis][0] if axis in window else size for axis, size in enumerate(shape)
    )


def _cut(value: Value, window: Window) -> Value:
    low = [window[axis][0] if axis in window else 0 for axis in range(value.rank)]
    high = [window[axis][1] if axis in window else size for axis, size in enumerate(value.shape)]
    return cx.slice(value, low, high)
