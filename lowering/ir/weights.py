"""Where the weights lie. A program names its weights; this says which bytes they are, unread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lowering.ir.errors import BridgeError
from lowering.ir.program import Program
from lowering.ir.short_repr import ShortRepr
from lowering.ir.types import DType, contiguous_strides, view_nbytes


class FilePart(NamedTuple):
    """A place in a file: its absolute path, and the first byte."""

    path: Path
    start: int


@dataclass(frozen=True, slots=True)
class Storage:
    """`nbytes` raw bytes that one or more weights are views of.

    `open` maps them: a one-dimensional uint8 array, read-only where it is a file, never a copy. `absent`: the
    program was exported without values, on the meta device or from fake tensors; then `open` raises.
    `borrowed`: a caller's own tensors lie there, who may write to them later. `part`: the place in a file
    that has these bytes as they are. `refers`: an artifact refers to that, and has no copy.
    """

    nbytes: int
    open: Callable[[], np.ndarray]
    absent: bool = False
    borrowed: bool = False
    part: FilePart | None = None
    refers: bool = False


class AbsentWeights(BridgeError):
    """Values are asked for that the program does not have. `what`: the end of `no values for`."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the program has no values for {what}: it was exported on the meta device or from fake tensors; "
            "give them with weights=... or --weights"
        )


def absent_storage(nbytes: int) -> Storage:
    """A storage of so many bytes that nobody has."""

    def open_storage() -> np.ndarray:
        raise AbsentWeights("its weights")

    return Storage(nbytes, open_storage, absent=True)


@dataclass(frozen=True, slots=True)
class WeightView:
    """A weight: a strided view of a storage. Strides and offset are in elements of `dtype`."""

    storage: str
    dtype: DType
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class Weights(ShortRepr):
    """All weights of a program: storages by key, views by the weight's full name (`encoder.0.weight`).

    Tied weights are several views of one storage.
    """

    storages: Mapping[str, Storage] = field(default_factory=dict)
    views: Mapping[str, WeightView] = field(default_factory=dict)

    def only(self, names: Iterable[str]) -> Weights:
        """The weights of these names, over no other storages than theirs."""
        views = {name: self.views[name] for name in names if name in self.views}
        keys = {view.storage for view in views.values()}
        return Weights({key: storage for key, storage in self.storages.items() if key in keys}, views)

    def changed(self, new: Weights) -> set[str]:
        """The names whose storage or place in it is another one in `new`."""

        def place(weights: Weights, name: str) -> Any:
            view = weights.views.get(name)
            return view and (weights.storages.get(view.storage), replace(view, storage=""))

        return {name for name in {**self.views, **new.views} if place(self, name) != place(new, name)}


def absent_weights(program: Program) -> Weights:
    """The weights of a program that is known without values: a storage of its own for each."""
    storages: dict[str, Storage] = {}
    views: dict[str, WeightView] = {}
    for spec in program.weights.values():
        sizes = tuple(size for size in spec.type.sizes if isinstance(size, int))
        strides = contiguous_strides(sizes)
        storages[spec.fqn] = absent_storage(view_nbytes(spec.type.dtype, sizes, strides, 0))
        views[spec.fqn] = WeightView(spec.fqn, spec.type.dtype, sizes, strides)
    return Weights(storages, views)
