"""Compute convolutions, and the operations that depend on them, with channels last.

A region has one transposition where it begins and one where it ends. A convolution becomes one on
channels-last data between two transpositions. Later operations that do not depend on the order of axes then
run before the second transposition instead. So it meets the first one of the next convolution, and both go.
`Choices` says which convolutions become something else.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from lowering.stablehlo.build.reduce import padding_attribute
from lowering.stablehlo.hlo import ir
from lowering.stablehlo.passes.convolution import Choices, convolve_channels_last, is_taken, read_convolution
from lowering.stablehlo.passes.parsed import ParsedModule
from lowering.stablehlo.passes.rewrite import (
    ELEMENTWISE,
    Permutation,
    broadcast_of,
    clone,
    cx,
    inverse,
    maker,
    permuted,
    replace,
    squeezed_broadcast,
)
from lowering.stablehlo.symbolic import any_symbolic
from lowering.stablehlo.value import Value, broadcast_in_dim

# Given to transpositions that a region ends in; no engine ever sees it.
_MARK = "bridge.region"


def rewrite(parsed: ParsedModule, **choices: bool) -> None:
    """`choices`: see `Choices`."""
    chosen, weights = Choices(**choices), parsed.weights
    operations = list(parsed.block.operations)
    if not any(op.operation.name == "stablehlo.convolution" for op in operations):
        return
    for op in operations:
        with ir.InsertionPoint(op), op.location:
            _rewrite(op, chosen, weights)
    for op in parsed.block.operations:
        if _MARK in op.operation.attributes:
            del op.operation.attributes[_MARK]


def _rewrite(op: Any, choices: Choices, weights: set[ir.Value]) -> None:
    found = read_convolution(op)
    if found is not None and is_taken(op):
        space = range(1, found.spatial + 1)
        _end_region(op, convolve_channels_last(found, choices, weights), (0, found.spatial + 1, *space))
        return
    if op.operation.name == "stablehlo.transpose" and maker(op.operand, op.operation.name) is not None:
        replace(op, permuted(Value(op.operand), tuple(op.permutation)))
        return
    sink = _SINKS.get(op.operation.name)
    ends = [region for operand in op.operation.operands if (region := _region(operand)) is not None]
    if sink is None or not ends or len(op.operation.results) != 1:
        return
    moved = sink(op, tuple(ends[0].permutation))
    if moved is not None:
        _end_region(op, *moved)


def _region(value: ir.Value) -> Any | None:
    """The transposition at the end of a region that makes this value, ours or the model's own."""
    made = maker(value, "stablehlo.transpose")
    if made is None:
        return None
    rank = Value(value).rank
    to_second = rank > 2 and list(made.permutation) == [0, rank - 1, *range(1, rank - 1)]
    return made if to_second or _MARK in made.operation.attributes else None


def _end_region(op: Any, result: Value, permutation: Permutation) -> None:
    """Let `transpose(result, permutation)` stand for an operation's result."""
    ended = permuted(result, permutation)
    made = maker(ended.ir, "stablehlo.transpose")
    if made is not None:
        made.operation.attributes[_MARK] = ir.UnitAttr.get()
    replace(op, ended)


# Each takes an operation and the permutation that ends the region of one of its operands. It gives the result
# inside the region and the permutation at its end. None: the region ends before it.
_Moved = tuple[Value, Permutation] | None


def _inside(value: ir.Value, permutation: Permutation) -> Value:
    """The operand inside the region: the value whose transposition it is."""
    whole = Value(value)
    if not whole.rank:
        return whole
    order = inverse(permutation)
    made = broadcast_of(value)
    if made is not None:
        operand, places = squeezed_broadcast(made)
        shape = tuple(whole.shape[axis] for axis in order)
        moved = [order.index(places[at]) for at in range(operand.rank)]
        if moved != sorted(moved):
            turn = tuple(sorted(range(len(moved)), key=moved.__getitem__))
            operand, moved = cx.transpose(operand, turn), sorted(moved)
        return broadcast_in_dim(operand, shape, tuple(moved))
    return permuted(whole, order)


def _reordered(op: Any, permutation: Permutation) -> tuple[int, ...]:
    shape = Value(op.operation.results[0]).shape
    return tuple(shape[axis] for axis in inverse(permutation))


def _elementwise(op: Any, permutation: Permutation) -> _Moved:
    operands = list(op.operation.operands)
    rank = len(permutation)
    if any(Value(operand).rank not in (0, rank) for operand in operands):
        return None
    # A second tensor that is neither of the region nor a broadcast would have to be transposed for it.
    strange = [o for o in operands if not (_region(o) or _is_cheap(o))]
    if strange:
        return None
    inside = [_inside(operand, permutation) for operand in operands]
    return clone(op, inside, _reordered(op, permutation)), permutation


def _is_cheap(value: ir.Value) -> bool:
    """Whether a value is one number, or spread from less than it has."""
    if not Value(value).rank:
        return True
    made = broadcast_of(value)
    if made is None:
        return False
    shape = Value(value).shape
    return any_symbolic(shape) or Value(made.operand).size < max(prod(shape), 2)


def _by_axis(*names: str) -> Callable[[Any, Permutation], _Moved]:
    """Operations on one tensor whose attributes have an entry for each axis."""

    def sink(op: Any, permutation: Permutation) -> _Moved:
        order = inverse(permutation)
        changed: dict[str, ir.Attribute] = {}
        for name in names:
            if name not in op.attributes:
                continue
            attribute = op.attributes[name]
            if name == "padding":
                flat = [int(n) for n in ir.DenseIntElementsAttr(attribute)]
                changed[name] = padding_attribute([(flat[2 * axis], flat[2 * axis + 1]) for axis in order])
            else:
                numbers = list(ir.DenseI64ArrayAttr(attribute))
                changed[name] = ir.DenseI64ArrayAttr.get([numbers[axis] for axis in order])
        first, *rest = op.operation.operands
        operands = [_inside(first, permutation), *map(Value, rest)]
        return clone(op, operands, _reordered(op, permutation), **changed), permutation

    return sink


def _concatenate(op: Any, permutation: Permutation) -> _Moved:
    operands = list(op.operation.operands)
    if not all(_region(operand) for operand in operands):
        return None
    axis = ir.IntegerAttr(op.attributes["dimension"])
    place = ir.IntegerAttr.get(axis.type, permutation[axis.value])
    inside = [_inside(operand, permutation) for operand in operands]
    return clone(op, inside, _reordered(op, permutation), dimension=place), permutation


def _reduce(op: Any, permutation: Permutation) -> _Moved:
    operand, *seeds = op.operation.operands
    dims = list(ir.DenseI64ArrayAttr(op.attributes["dimensions"]))
    places = ir.DenseI64ArrayAttr.get(sorted(permutation[axis] for axis in dims))
    inside = _inside(operand, permutation)
    left = [permutation[axis] for axis in range(len(permutation)) if axis not in dims]
    shape = tuple(inside.shape[axis] for axis in sorted(left))
    result = clone(op, [inside, *map(Value, seeds)], shape, dimensions=places)
    return result, tuple(sorted(left).index(axis) for axis in left)


_WINDOW = ("window_dimensions", "window_strides", "base_dilations", "window_dilations", "padding")
_SINKS: dict[str, Callable[[Any, Permutation], _Moved]] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    "stablehlo.reduce_window": _by_axis(*_WINDOW),
    "stablehlo.pad": _by_axis("edge_padding_low", "edge_padding_high", "interior_padding"),
    "stablehlo.slice": _by_axis("start_indices", "limit_indices", "strides"),
    "stablehlo.concatenate": _concatenate,
    "stablehlo.reduce": _reduce,
}
