"""Padding: constant, reflected, replicated, circular."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lowering.stablehlo.context import Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.ops.spatial import pick
from lowering.stablehlo.registry import add_rules, lowers
from lowering.stablehlo.size_questions import fits
from lowering.stablehlo.symbolic import is_symbolic
from lowering.stablehlo.value import Scalar, Value

# From positions relative to the input's first element (negative before it) to indices into it.
FOLDS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "reflect": lambda at, size: (size - 1) - np.abs((size - 1) - np.abs(at)),
    "replicate": lambda at, size: np.clip(at, 0, size - 1),
}

# The numbers of `_pad_enum`.
MODES = ("reflect", "replicate", "circular", "constant")


@lowers("aten.constant_pad_nd.default")
def constant_pad(cx: Context, self: Value, pad: Sequence[int], value: Scalar) -> Value:
    """`pad` is (low, high) per axis, the last axis first; an amount below zero crops."""
    lows, highs = _amounts(pad, self.rank)
    cropped = cx.slice(
        self,
        [max(-low, 0) for low in lows],
        [size - max(-high, 0) for size, high in zip(self.shape, highs, strict=True)],
    )
    fill = cx.constant(value, self.dtype)
    return cx.pad(cropped, [max(low, 0) for low in lows], [max(high, 0) for high in highs], fill)


@lowers("aten.pad.default")
def pad_by_name(cx: Context, self: Value, pad: Sequence[int], mode: str, value: float | None) -> Value:
    if mode == "constant":
        return constant_pad(cx, self, pad, value if value is not None else 0)
    if mode not in MODES:
        raise Unsupported(f"padding mode {mode!r}")
    return folded_pad(cx, self, pad, mode)


@lowers("aten._pad_enum.default")
def pad_by_number(cx: Context, self: Value, pad: Sequence[int], mode: int, value: float | None) -> Value:
    return pad_by_name(cx, self, pad, MODES[mode], value)


def folded_pad(cx: Context, self: Value, pad: Sequence[int], mode: str) -> Value:
    """Pad with elements of the input itself."""
    lows, highs = _amounts(pad, self.rank)
    for axis, (low, high) in enumerate(zip(lows, highs, strict=True)):
        size = self.shape[axis]
        if mode == "circular":
            self = _wrapped(cx, self, low, high, axis)
        elif is_symbolic(size) and low >= 0 and high >= 0:
            self = _with_edges(cx, self, low, high, axis, mode)
        elif low or high:
            self = pick(cx, self, FOLDS[mode](np.arange(-low, size + high), size), axis)
    return self


def _with_edges(cx: Context, value: Value, low: int, high: int, axis: int, mode: str) -> Value:
    """One axis with what lies inside its ends reflected, or its ends themselves repeated."""
    size = value.shape[axis]
    if mode == "reflect":
        if not (fits(low + 1, size) and fits(high + 1, size)):
            raise Unsupported(f"reflection of more than {size} elements")
        before = cx.slice_axis(value, axis, 1, low + 1)
        behind = cx.slice_axis(value, axis, size - 1 - high, size - 1)
        before, behind = cx.reverse(before, (axis,)), cx.reverse(behind, (axis,))
    else:
        shapes = [[n if at == axis else s for at, s in enumerate(value.shape)] for n in (low, high)]
        ends = cx.slice_axis(value, axis, 0, 1), cx.slice_axis(value, axis, size - 1, size)
        before, behind = (cx.broadcast(end, tuple(shape)) for end, shape in zip(ends, shapes, strict=True))
    parts = [*([before] if low else []), value, *([behind] if high else [])]
    return cx.concatenate(parts, axis)


def _wrapped(cx: Context, value: Value, low: int, high: int, axis: int) -> Value:
    """One axis with its end before it and its begin after it; an amount below zero crops, and what is left is
    repeated."""
    kept = cx.slice_axis(value, axis, max(-low, 0), value.shape[axis] - max(-high, 0))
    size = kept.shape[axis]
    if not fits(max(low, high), size):
        raise Unsupported(f"circular padding by {max(low, high)} of {size} elements")
    parts = [kept]
    if low > 0:
        parts.insert(0, cx.slice_axis(kept, axis, size - low, size))
    if high > 0:
        parts.append(cx.slice_axis(kept, axis, 0, high))
    return cx.concatenate(parts, axis)


def _amounts(pad: Sequence[int], rank: int) -> tuple[list[int], list[int]]:
    """Low and high amounts per axis, first axis first."""
    unpadded = [0] * (rank - len(pad) // 2)
    return unpadded + list(pad[-2::-2]), unpadded + list(pad[::-2])


def _named(mode: str) -> Callable[[Context, Value, Sequence[int]], Value]:
    def emit(cx: Context, self: Value, padding: Sequence[int]) -> Value:
        return folded_pad(cx, self, padding, mode)

    return emit


@lowers("aten._pad_circular.default")
def circular_pad(cx: Context, self: Value, pad: Sequence[int]) -> Value:
    return folded_pad(cx, self, pad, "circular")


add_rules(
    (f"aten.{name}_pad{axes}d.default", _named(mode))
    for name, mode in (("reflection", "reflect"), ("replication", "replicate"))
    for axes in (1, 2, 3)
)
