"""Padding: constant, reflected, replicated, circular."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lowering.stablehlo.context import Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.ops.spatial import pick
from lowering.stablehlo.registry import add_rules, lowers
from lowering.stablehlo.value import Scalar, Value

# From positions relative to the input's first element (negative before it) to indices into it.
FOLDS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "reflect": lambda at, size: (size - 1) - np.abs((size - 1) - np.abs(at)),
    "replicate": lambda at, size: np.clip(at, 0, size - 1),
    "circular": lambda at, size: _wrapped(-int(at[0]), int(at[-1]) + 1 - size, size),
}


def _wrapped(low: int, high: int, size: int) -> np.ndarray:
    """Circular padding repeats what is left of the input where an amount below zero crops the other end."""
    kept = np.arange(size)[max(-low, 0) : size - max(-high, 0)]
    before = kept[len(kept) - max(low, 0) :] if low > 0 else kept[:0]
    return np.concatenate([before, kept, kept[: max(high, 0)]])


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
    if mode not in FOLDS:
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
        if not (low or high):
            continue
        indices = FOLDS[mode](np.arange(-low, size + high), size)
        if mode == "circular":
            # IREE's compiler fails on a concatenation of slices of one tensor along two axes.
            self = cx.take(self, cx.array(indices.astype(np.int32)), axis)
        else:
            self = pick(cx, self, indices, axis)
    return self


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
