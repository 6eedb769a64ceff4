"""The rates that this machine reaches: a product of two matrices, and a copy."""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

import numpy as np

_SIDE = 1024
_COPIED = 1 << 24
_SECONDS = 0.2
_LEAST = 3


class Peak(NamedTuple):
    """Per second. `flops`: of a float32 product of ATen where torch is imported, else of numpy's. `nbytes`:
    read and written by a copy."""

    flops: float
    nbytes: float

    def share(self, flops: float, nbytes: float, seconds: float) -> float:
        """How much of the time the peak would take: of the slower of the two."""
        return max(flops / self.flops, nbytes / self.nbytes) / seconds if seconds else 0.0


def measured_peak() -> Peak:
    """Measure for a fraction of a second."""
    a = np.ones((_SIDE, _SIDE), np.float32)
    source, target = np.ones(_COPIED, np.float32), np.empty(_COPIED, np.float32)
    torch = sys.modules.get("torch")
    matrix = a if torch is None else torch.from_numpy(a)
    product, copy = _least(lambda: matrix @ matrix), _least(lambda: np.copyto(target, source))
    return Peak(2 * _SIDE**3 / product, 2 * source.nbytes / copy)


def _least(run: Callable[[], object]) -> float:
    """The least seconds of some runs."""
    times: list[float] = []
    end = perf_counter() + _SECONDS
    while len(times) < _LEAST or perf_counter() < end:
        start = perf_counter()
        run()
        times.append(perf_counter() - start)
    return min(times)
