"""Spell windows at sizes that a call says, of convolutions and reductions, by shifted copies of the input."""

from __future__ import annotations

from dataclasses import replace as replaced
from itertools import product
from math import prod
from typing import Any

from lowering.stablehlo.hlo import ir
from lowering.stablehlo.passes.convolution import Convolution, by_shifting, is_taken, read_convolution
from lowering.stablehlo.passes.parsed_dynamic import ParsedDynamic, is_dynamic, refused
from lowering.stablehlo.passes.rewrite import cx, everywhere, permuted, replace
from lowering.stablehlo.symbolic import any_symbolic
from lowering.stablehlo.value import Value

# Each tap of a window is a copy; each group of a convolution is a product.
_MAX_TAPS, _MAX_GROUPS = 128, 64


def rewrite(parsed: ParsedDynamic) -> None:
    for op in everywhere(parsed.block):
        is_window = op.operation.name in ("stablehlo.reduce_window", "stablehlo.convolution")
        if not is_window or not any(map(is_dynamic, op.operation.operands)):
            continue
        with ir.InsertionPoint(op), op.operation.location:
            if op.operation.name == "stablehlo.reduce_window":
                replace(op, _reduced(op))
            elif op.operation.name == "stablehlo.convolution" and not is_taken(op):
                replace(op, _convolved(op))


def _convolved(op: Any) -> Value:
    found = read_convolution(op)
    if found is None or any_symbolic((found.input.shape[1], *found.kernel.shape)):
        raise refused(op.operation, "a call says its channels or its kernel")
    if found.groups > _MAX_GROUPS and not found.is_depthwise:
        raise refused(op.operation, f"it has {found.groups} groups")
    if prod(found.kernel.shape[2:]) > _MAX_TAPS:
        raise refused(op.operation, f"its kernel has {prod(found.kernel.shape[2:])} taps")
    rank = found.input.rank
    space = range(2, rank)
    input, kernel = permuted(found.input, (0, *space, 1)), permuted(found.kernel, (*space, 1, 0))
    for axis, step in enumerate(found.lhs_dilation, 1):
        input = _spread(input, axis, step) if step != 1 else input
    found = replaced(found, lhs_dilation=(1,) * found.spatial)
    if found.groups == 1 or found.is_depthwise:
        made = by_shifting(found, input, kernel)
    else:
        made = _by_groups(found, input, kernel)
    return permuted(made, (0, rank - 1, *range(1, rank - 1)))


def _spread(value: Value, axis: int, step: int) -> Value:
    """The elements along an axis, with `step - 1` zeros between two of them."""
    apart = cx.unsqueeze(value, axis + 1)
    high = [step - 1 if at == axis + 1 else 0 for at in range(apart.rank)]
    size = value.shape[axis] * step
    joined = cx.reshape(
        cx.pad(apart, [0] * apart.rank, high), [*value.shape[:axis], size, *value.shape[axis + 1 :]]
    )
    return cx.slice_axis(joined, axis, 0, size - step + 1)


def _by_groups(found: Convolution, input: Value, kernel: Value) -> Value:
    axis = input.rank - 1
    inner, outer = (size // found.groups for size in (input.shape[axis], kernel.shape[axis]))
    parts = [
        by_shifting(
            replaced(found, groups=1),
            cx.slice_axis(input, axis, at * inner, (at + 1) * inner),
            cx.slice_axis(kernel, axis, at * outer, (at + 1) * outer),
        )
        for at in range(found.groups)
    ]
    return cx.concatenate(parts, axis)


def _reduced(op: Any) -> Value:
    """Windows of one operand, folded by the operation of their region."""
    window = list(op.window_dimensions)
    ones = [1] * len(window)
    steps, gaps, between = (
        list(given) if given is not None else ones
        for given in (op.window_strides, op.window_dilations, op.base_dilations)
    )
    body = list(op.operation.regions[0].blocks[0].operations)
    fold = _FOLDS.get(body[0].operation.name) if len(body) == 2 else None
    if fold is None or len(op.operation.operands) != 2 or any(n != 1 for n in between):
        raise refused(op.operation, "its windows are folded by more than one operation")
    if prod(window) > _MAX_TAPS:
        raise refused(op.operation, f"its windows have {prod(window)} elements")
    value, start = map(Value, op.operation.operands)
    numbers = (
        [0] * (2 * len(window))
        if op.padding is None
        else [int(n) for n in ir.DenseIntElementsAttr(op.padding)]
    )
    padded = cx.pad(value, numbers[::2], numbers[1::2], start)
    sizes = Value(op.operation.results[0]).shape
    total = cx.broadcast(start, sizes)
    for place in product(*map(range, window)):
        first = [at * gap for at, gap in zip(place, gaps, strict=True)]
        limit = [low + (size - 1) * step + 1 for low, size, step in zip(first, sizes, steps, strict=True)]
        total = fold(total, cx.slice(padded, first, limit, steps))
    return total


_FOLDS = {
    "stablehlo.add": lambda a, b: a + b,
    "stablehlo.maximum": cx.maximum,
    "stablehlo.minimum": cx.minimum,
}
