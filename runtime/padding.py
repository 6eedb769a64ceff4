"""Calls at a size that run on the executable of a larger one: arguments are padded, and results cut."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

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
            found.smaller, found.spare = {}, deque()
            found.padded = Padded(self, inner, sizes, larger, report)
            found.run = found.padded
        return found


NO_PADDING: Mapping[int, SegmentPadding] = {}


class Grown(NamedTuple):
    """An axis that becomes longer. `element`: each new one; None: the last ones along it, again."""

    axis: int
    size: int
    element: Scalar | None


# By place among the arguments, padded tensors and their handles.
Memory = dict[int, tuple[Any, Any]]


class Padded:
    """An executable of larger sizes, called with arguments of smaller ones."""

    __slots__ = ("_cuts", "_engine", "_grown", "_report", "_run", "_spare", "_target")

    def __init__(
        self, padding: SegmentPadding, inner: EngineCall, sizes: Sizes, larger: Sizes, report: Report
    ) -> None:
        self._run = inner.run
        self._spare = inner.spare
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
        # No call at the same time has this memory, and none before it reads it any more.
        try:
            memory = self._spare.pop()
        except IndexError:  # not asked before: another thread may come between
            memory = {}
        results = self._run(self.enlarged(handles, memory))
        self._spare.append(memory)
        for place, cuts in self._cuts.items():
            value = self._value(results[place])
            for axis, size in cuts:
                value = value[(slice(None),) * axis + (slice(size),)]
            results[place] = import_tensor(self._engine, self._target, self._report, value)
        return results

    def enlarged(self, handles: Sequence[Any], memory: Memory | None = None) -> list[Any]:
        """The arguments of the executable. Padded ones are copies, in memory of an earlier call if given."""
        given = list(handles)
        memory = {} if memory is None else memory
        for place, axes in self._grown.items():
            value = self._value(given[place])
            made, handle = memory.get(place) or self._new(value, axes)
            fill(made, value, axes)
            if handle is None:
                # An accelerator has a copy of its own.
                handle = self._engine.from_tensor(made, self._target)
                if self._on_cpu:
                    memory[place] = made, handle
            self._report.copies += 1
            given[place] = handle
        return given

    def _new(self, value: Any, axes: Sequence[Grown]) -> tuple[Any, Any]:
        shape = list(value.shape)
        for grown in axes:
            shape[grown.axis] = grown.size
        return (empty(value.dtype, tuple(shape)) if self._on_cpu else value.new_empty(shape)), None

    @property
    def _on_cpu(self) -> bool:
        return self._target.device == "cpu"

    def _value(self, handle: Any) -> Any:
        """A tensor over a handle's memory: numpy's on the CPU, torch's elsewhere."""
        return self._engine.to_numpy(handle) if self._on_cpu else self._engine.to_torch(handle)


def fill(made: Any, value: Any, axes: Sequence[Grown]) -> None:
    """Write a tensor and its padding to a larger one."""
    region = [slice(size) for size in value.shape]
    made[tuple(region)] = value
    for axis, _, element in axes:
        before = value.shape[axis]
        last = made[(*region[:axis], slice(before - 1, before), *region[axis + 1 :])]
        region[axis] = slice(before, None)
        made[tuple(region)] = last if element is None else element
        region[axis] = slice(None)


def _grown(name: str, changed: Mapping[str, PaddedSymbol], larger: Sizes) -> list[Grown]:
    return [
        Grown(axis, int(larger[symbol]), padding.fill.get(name))
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
