"""Calls at a size that run on the executable of a larger one: arguments are padded, and results cut."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lowering.host.tensors import empty
from lowering.ir.batch_axes import BatchAxes
from lowering.ir.dynamic_module import DynamicModule
from lowering.ir.symbols import Scalar, evaluate
from lowering.targets.target import Engine, TargetOptions
from runtime.engine_call import EngineCall
from runtime.frame import import_tensor
from runtime.report import Report

Sizes = Mapping[str, Scalar]
# How many sizes' calls are kept of one executable: they are small.
MAX_CALLS = 256


class PaddedSymbol(NamedTuple):
    """A symbol that is padded to `sizes`, which ascend. `axes`: those of a segment's arguments and results.

    `fill`: the elements of padding, by argument. An argument without has its last row repeated.
    """

    sizes: tuple[int, ...]
    axes: BatchAxes
    fill: Mapping[str, Scalar]

    def at_least(self, size: Scalar) -> int | None:
        """The first of the sizes that is as large; a size of 0 is never padded."""
        place = bisect_left(self.sizes, size)
        return self.sizes[place] if size and place < len(self.sizes) else None


@dataclass(frozen=True)
class SegmentPadding:
    """The symbols of a segment that are padded. `module`: that for all sizes, which knows what fits it."""

    symbols: Mapping[str, PaddedSymbol]
    module: DynamicModule

    def larger(self, sizes: Sizes) -> dict[str, Scalar] | None:
        """The sizes that a call at these runs at; None where it runs at its own."""
        found = dict(sizes)
        for name, symbol in self.symbols.items():
            size = symbol.at_least(sizes.get(name, 0))
            if size is not None:
                found[name] = size
        if found == sizes or not self.module.admits(sizes) or not self.module.admits(found):
            return None
        return found

    def call(self, inner: EngineCall, sizes: Sizes, larger: Sizes, report: Report) -> EngineCall:
        """The call at these sizes, on an executable of larger ones, which keeps it."""
        key = tuple(sizes.values())
        found = inner.smaller.get(key)
        if found is None:
            if len(inner.smaller) >= MAX_CALLS:
                inner.smaller.clear()
            found = inner.smaller[key] = copy(inner)
            found.smaller = {}
            found.padded = Padded(self, inner, sizes, larger, report)
            found.run = found.padded
        return found


NO_PADDING: Mapping[int, SegmentPadding] = {}


class _Grown(NamedTuple):
    """An axis that becomes longer. `fill`: the new elements; None: the last ones along it, again."""

    axis: int
    size: int
    fill: Scalar | None


class Padded:
    """An executable of larger sizes, called with arguments of smaller ones."""

    __slots__ = ("_cuts", "_engine", "_grown", "_report", "_run", "_target")

    def __init__(
        self, padding: SegmentPadding, inner: EngineCall, sizes: Sizes, larger: Sizes, report: Report
    ) -> None:
        self._run = inner.run
        self._engine: Engine = inner.engine
        self._target: TargetOptions = inner.target
        self._report = report
        changed = {name: symbol for name, symbol in padding.symbols.items() if larger[name] != sizes[name]}
        self._grown = {
            place: grown
            for place, port in enumerate(inner.inputs)
            if (grown := _grown(port.name, changed, larger))
        }
        self._cuts = {
            place: cuts for place, name in enumerate(inner.outputs) if (cuts := _cuts(name, changed, sizes))
        }

    def __call__(self, handles: Sequence[Any]) -> list[Any]:
        results = self._run(self.enlarged(handles))
        for place, cuts in self._cuts.items():
            value = self._value(results[place])
            for axis, size in cuts:
                value = value[(slice(None),) * axis + (slice(size),)]
            results[place] = import_tensor(self._engine, self._target, self._report, value)
        return results

    def enlarged(self, handles: Sequence[Any]) -> list[Any]:
        """The arguments of the executable. Padded ones are copies."""
        given = list(handles)
        for place, axes in self._grown.items():
            value = self._value(given[place])
            for grown in axes:
                value = padded(value, *grown)
            self._report.copies += 1
            given[place] = self._engine.from_tensor(value, self._target)
        return given

    def _value(self, handle: Any) -> Any:
        """A tensor over a handle's memory: numpy's on the CPU, torch's elsewhere."""
        on_cpu = self._target.device == "cpu"
        return self._engine.to_numpy(handle) if on_cpu else self._engine.to_torch(handle)


def padded(value: Any, axis: int, size: int, fill: Scalar | None) -> Any:
    """A dense copy of a tensor whose axis has grown to a size. `fill`: see `_Grown`."""
    before = value.shape[axis]
    shape = (*value.shape[:axis], size, *value.shape[axis + 1 :])
    if isinstance(value, np.ndarray):
        made: Any = empty(value.dtype, shape)
    else:
        made = value.new_empty(shape)
    ahead = (slice(None),) * axis
    made[(*ahead, slice(before))] = value
    last = value[(*ahead, slice(before - 1, before))]
    made[(*ahead, slice(before, None))] = last if fill is None else fill
    return made


def _grown(name: str, changed: Mapping[str, PaddedSymbol], larger: Sizes) -> list[_Grown]:
    return [
        _Grown(axis, int(larger[symbol]), padding.fill.get(name))
        for symbol, padding in changed.items()
        for axis in padding.axes.inputs.get(name, ())
    ]


def _cuts(name: str, changed: Mapping[str, PaddedSymbol], sizes: Sizes) -> list[tuple[int, int]]:
    return [
        (axis, int(sizes[symbol]) * _size(elements, sizes))
        for symbol, padding in changed.items()
        for axis, elements in padding.axes.outputs.get(name, ())
    ]


def _size(size: Any, sizes: Sizes) -> int:
    return size if isinstance(size, int) else int(evaluate(size, sizes))
