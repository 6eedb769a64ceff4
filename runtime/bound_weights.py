"""The weights that a program has now: where they lie, and the arrays of them that engines have."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import numpy as np

from lowering.host.weights import materialise
from lowering.ir.weights import Weights


class BoundWeights:
    """One array per weight, the same for all segments.

    Other weights make another object: a call that has begun keeps those that it began with.
    """

    def __init__(self, weights: Weights, before: BoundWeights | None = None) -> None:
        """`before`: the weights that these replace; arrays of unchanged ones stay."""
        self.weights = weights
        #: The names whose values differ from those before.
        self.changed = set[str]() if before is None else before.weights.changed(weights)
        self._arrays: dict[str, np.ndarray] = {}
        self._lock = threading.Lock()
        if before is not None:
            with before._lock:
                self._arrays = {n: a for n, a in before._arrays.items() if n not in self.changed}

    def arrays(self, names: Iterable[str | None]) -> dict[str, np.ndarray]:
        """Dense, row-major, aligned; None stands for no weight. Raises WeightError."""
        wanted = dict.fromkeys(name for name in names if name is not None)
        with self._lock:
            self._arrays.update(materialise(self.weights, [n for n in wanted if n not in self._arrays]))
            return {name: self._arrays[name] for name in wanted}
