"""Helpers of the spatial families: per-axis arguments, picking elements by known indices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lowering.stablehlo.context import Context
from lowering.stablehlo.value import Value


def per_axis(value: int | Sequence[int], axes: int) -> tuple[int, ...]:
    """torch's `int[2]`: one number, or a list of one, stands for all axes."""
    if isinstance(value, int):
        return (value,) * axes
    return tuple(value) * axes if len(value) == 1 else tuple(value)


# Index vectors of up to this many runs become slices, else one gather.
_MAX_RUNS = 6


def pick(cx: Context, value: Value, indices: np.ndarray, axis: int) -> Value:
    """`value.index_select(axis, indices)` for indices known now, without a gather where it can.

    Runs of equal step (0, 1, -1 or another stride) become slices, reversed or stretched; a constant repeat
    of consecutive elements becomes a broadcast.
    """
    axis = cx.axis(axis, value.rank)
    size, count = value.shape[axis], len(indices)
    if count == size and np.array_equal(indices, np.arange(size)):
        return value
    if size and count and count % size == 0 and np.array_equal(indices, np.arange(count) // (count // size)):
        return _repeat_each(cx, value, count // size, axis)
    runs = _runs(indices)
    if len(runs) > _MAX_RUNS:
        return cx.take(value, cx.array(indices.astype(np.int32)), axis)
    return cx.concatenate([_slice_run(cx, value, *run, axis) for run in runs], axis)


def _repeat_each(cx: Context, value: Value, times: int, axis: int) -> Value:
    shape = value.shape
    wide = (*shape[: axis + 1], times, *shape[axis + 1 :])
    return cx.reshape(
        cx.expand(value, wide, axis + 1), (*shape[:axis], shape[axis] * times, *shape[axis + 1 :])
    )


def _runs(indices: np.ndarray) -> list[tuple[int, int, int]]:
    """(first, step, count) of the maximal arithmetic runs, greedily from the left."""
    runs: list[tuple[int, int, int]] = []
    start, total = 0, len(indices)
    while start < total:
        stop = start + 1
        step = int(indices[stop] - indices[start]) if stop < total else 1
        while stop < total and indices[stop] - indices[stop - 1] == step:
            stop += 1
        runs.append((int(indices[start]), step, stop - start))
        start = stop
    return runs or [(0, 1, 0)]


def _slice_run(cx: Context, value: Value, first: int, step: int, count: int, axis: int) -> Value:
    if step == 0:
        one = cx.slice_axis(value, axis, first, first + 1)
        shape = (*value.shape[:axis], count, *value.shape[axis + 1 :])
        return cx.broadcast_in_dim(one, shape, tuple(range(value.rank)))
    if step > 0:
        return cx.slice_axis(value, axis, first, first + (count - 1) * step + 1 if count else first, step)
    last = first + (count - 1) * step
    return cx.reverse(cx.slice_axis(value, axis, last, first + 1, -step), (axis,))
