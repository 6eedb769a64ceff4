"""A segment on the host target: its executable, called with a frame's tensors in host form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lowering.host.memory import base, private_copy, torch_can_view, with_strides
from lowering.host.tensors import numpy_to_torch
from lowering.ir.plan import Segment
from lowering.ir.program import Node
from lowering.ir.symbols import Symbol
from lowering.ir.types import SymType, TensorType, TokenType
from lowering.ir.weights import Weights
from lowering.targets import get_host
from lowering.targets.target import ROLLBACK, HostRun, NodeSegment
from runtime.frame import Frame, Shared, read_scalar

Take = Callable[[Frame, str], Any]


class HostCall:
    """A segment compiled for the host. Raises ModuleNotFoundError where the target's library is missing."""

    def __init__(self, shared: Shared, weights: Weights, segment: Segment, nodes: Sequence[Node]) -> None:
        later = {name for other in shared.report.plan.segments[segment.index + 1 :] for name in other.inputs}
        last = {old: new for old, new in shared.updates.items() if old not in later}
        outputs = segment.outputs
        self._given = last.keys() & shared.written_inputs
        executable = get_host().compile(
            NodeSegment(shared.graph, nodes, outputs, shared.constants, last, weights, shared.packed)
        )
        self._shared = shared
        self.executable = executable
        self._run = executable.run
        self._outputs = outputs
        self._lasting = shared.updates.keys() | set(shared.updates.values())
        # Others overwrite these after this segment has read them.
        self._passing = [
            name
            for name in executable.inputs
            if name in shared.updates and shared.updates[name] not in outputs
        ]
        types = {name: shared.graph.values.get(name) for name in executable.inputs}
        self._tensors = [name for name, type_ in types.items() if isinstance(type_, TensorType)]
        self._tokens = [name for name, type_ in types.items() if isinstance(type_, TokenType)]
        self._scalars = [name for name, type_ in types.items() if isinstance(type_, SymType)]
        # Symbols of numbers that other segments took out of the data.
        self._named = {
            name: type_.value.name
            for name, type_ in types.items()
            if isinstance(type_, SymType) and isinstance(type_.value, Symbol)
        }
        # Nodes that see memory find the strides that the exporter saw, whichever segment takes a value first.
        self._strided = {
            name: type_
            for name, type_ in types.items()
            if isinstance(type_, TensorType) and shared.reads_memory
        }

    def __call__(self, frame: Frame, run: HostRun | None = None, take: Take | None = None) -> None:
        """Call the segment. A profile puts `run` and `take` in the places of this object's own."""
        host, handles = frame.host, frame.handles
        run, take = run or self._run, take or self.take
        values: dict[str, Any] = {ROLLBACK: frame.rollback}
        for name in self._tensors:
            values[name] = take(frame, name)
        for name in self._scalars:
            # Others follow from the symbols, of which this segment itself may be what binds them.
            if name in host or name in handles:
                values[name] = number = read_scalar(self._shared, frame, name)
                if name in self._named:
                    frame.symbols[self._named[name]] = number
        for name in self._tokens:
            values[name] = None
        passing = {base(values[name]) for name in self._passing} if self._passing else ()
        run(values, frame.symbols)
        for name in self._outputs:
            value = values[name]
            if passing and hasattr(value, "untyped_storage") and base(value) in passing:
                value = private_copy(value)
            # A new value under this name: the handle that an engine held before is of the old one.
            handles.pop(name, None)
            host[name] = value

    def take(self, frame: Frame, name: str) -> Any:
        """An argument in host form."""
        value = frame.host.get(name)
        if value is None:
            value = self._shared.to_torch(frame.handles[name])
            type_ = self._strided.get(name)
            if type_ is not None:
                value = with_strides(value, type_, frame.symbols)
            # Engines overwrite no buffer that somebody else has a view of, in this call or the next.
            if name not in self._lasting:
                frame.host[name] = value
        elif isinstance(value, np.ndarray):
            value = numpy_to_torch(value if torch_can_view(value) else np.ascontiguousarray(value))
        if name in self._given:
            # The caller's own, which is written where it lies if it lies as the program knows it.
            value = value.detach().contiguous()
        return value if value.is_cpu else value.cpu()
