"""Where the weights lie. A program names its weights; this says which bytes they are, unread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from lowering.ir.errors import BridgeError
from lowering.ir.types import DType


@dataclass(frozen=True, slots=True)
class Storage:
    """`nbytes` raw bytes that one or more weights are views of.

    `open` maps them: a one-dimensional uint8 array, read-only where it is a file, never a copy. `absent`: the
    program was exported without values, on the meta device or from fake tensors; then `open` raises.
    """

    nbytes: int
    open: Callable[[], np.ndarray]
    absent: bool = False


class AbsentWeights(BridgeError):
    """Values are asked for that the program does not have."""


def absent_storage(nbytes: int) -> Storage:
    """A storage of so many bytes that nobody has."""

    def open_storage() -> np.ndarray:
        raise AbsentWeights(
            "the program has no values for its weights: it was exported on the meta device or from fake "
            "tensors; give them with weights=... or --weights"
        )

    return Storage(nbytes, open_storage, absent=True)


@dataclass(frozen=True, slots=True)
class WeightView:
    """A weight: a strided view of a storage. Strides and offset are in elements of `dtype`."""

    storage: str
    dtype: DType
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Weights:
    """All weights of a program: storages by key, views by the weight's full name (`encoder.0.weight`).

    Tied weights are several views of one storage.
    """

    storages: Mapping[str, Storage] = field(default_factory=dict)
    views: Mapping[str, WeightView] = field(default_factory=dict)
