"""How much of a segment's time each of its kernels takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from bridge.compiled.profile import Span


def attributed(kernels: Sequence[Span]) -> list[float]:
    """Seconds of each kernel, such that the sum is the time in which any of them runs.

    A kernel inside another of its lane takes the time from that one. Kernels side by side
    share it.
    """
    ends = [kernel.start + kernel.seconds for kernel in kernels]
    moments = sorted({*(kernel.start for kernel in kernels), *ends})
    starting: dict[float, list[int]] = defaultdict(list)
    for index, kernel in enumerate(kernels):
        starting[kernel.start].append(index)
    seconds = [0.0] * len(kernels)
    running: list[int] = []
    for start, end in pairwise(moments):
        running = [i for i in running if ends[i] > start] + starting[start]
        working = [i for i in running if not any(_is_inside(kernels[j], kernels[i]) for j in running)]
        for index in working:
            seconds[index] += (end - start) / len(working)
    return seconds


def _is_inside(inner: Span, outer: Span) -> bool:
    if inner is outer or inner.lane != outer.lane:
        return False
    ends, contains = inner.start + inner.seconds, outer.start + outer.seconds
    return outer.start <= inner.start and ends <= contains and (inner.start, ends) != (outer.start, contains)
