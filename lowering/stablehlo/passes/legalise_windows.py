"""Cut off elements behind a window that fits once, of convolutions and of reductions of windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lowering.stablehlo.build.reduce import padding_attribute
from lowering.stablehlo.hlo import ir, stablehlo
from lowering.stablehlo.passes.parsed import ParsedModule
from lowering.stablehlo.passes.rewrite import cx, everywhere
from lowering.stablehlo.value import Value


def rewrite(parsed: ParsedModule) -> None:
    for op in everywhere(parsed.block):
        find = _AXES.get(op.operation.name)
        if find is not None:
            with ir.InsertionPoint(op), op.operation.location:
                _cut(op, *find(op))


def _of_convolution(op: Any) -> tuple[list[int], list[int], list[int], list[int], list[int], int]:
    numbers = stablehlo.ConvDimensionNumbers(op.dimension_numbers)
    axes = list(numbers.input_spatial_dimensions)
    taps = [Value(op.rhs).shape[axis] for axis in numbers.kernel_spatial_dimensions]
    ones = [1] * len(axes)
    return (
        axes,
        taps,
        _list(op.window_strides, ones),
        _list(op.lhs_dilation, ones),
        _list(op.rhs_dilation, ones),
        1,
    )


def _of_reduction(op: Any) -> tuple[list[int], list[int], list[int], list[int], list[int], int]:
    window = list(op.window_dimensions)
    ones = [1] * len(window)
    return (
        list(range(len(window))),
        window,
        _list(op.window_strides, ones),
        _list(op.base_dilations, ones),
        _list(op.window_dilations, ones),
        len(op.operation.operands) // 2,
    )


# The axes that windows move along; for each axis the window's size, the stride, the gaps between elements and
# between those of a window; and how many of the operands, from the first on, are what windows move over.
_AXES = {"stablehlo.convolution": _of_convolution, "stablehlo.reduce_window": _of_reduction}


def _cut(
    op: Any,
    axes: Sequence[int],
    taps: Sequence[int],
    strides: Sequence[int],
    gaps: Sequence[int],
    dilations: Sequence[int],
    count: int,
) -> None:
    padding = [(0, 0)] * len(axes) if op.padding is None else _pairs(op.padding)
    changed = False
    for at, axis in enumerate(axes):
        low, high = padding[at]
        size = Value(op.operation.operands[0]).shape[axis]
        reach = (taps[at] - 1) * dilations[at] + 1
        kept = min(size, reach - low)
        if gaps[at] != 1 or kept <= 0 or not 0 < low + size + high - reach < strides[at]:
            continue
        for operand in range(count):
            whole = Value(op.operation.operands[operand])
            op.operation.operands[operand] = cx.slice_axis(whole, axis, 0, kept).ir
        padding[at], changed = (low, reach - low - kept), True
    if changed:
        op.operation.attributes["padding"] = padding_attribute(padding)


def _list(attribute: Any, default: list[int]) -> list[int]:
    return default if attribute is None else list(attribute)


def _pairs(attribute: ir.Attribute) -> list[tuple[int, int]]:
    numbers = [int(number) for number in ir.DenseIntElementsAttr(attribute)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))
