"""The state between calls: the buffers that a program writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lowering.host.tensors import aligned_copy
from lowering.host.weights import materialise, torch_weights
from lowering.ir.types import DType
from lowering.ir.weights import Weights


class State:
    """The buffers that a program writes, between calls: each a tensor of ours or an engine's handle.

    A call reads them, and a successful one replaces them all at once. Where nothing reads the old value any
    more, a call may write the new one into its memory. An engine does so with a donated argument, the host
    target by operators in place. So nobody else may have a view of that memory.
    """

    def __init__(self, weights: Weights, names: Mapping[str, str]) -> None:
        """`names`: for each buffer's full name, the value that carries it into the program."""
        self.values_of = dict(names)
        #: The values that the buffers begin with.
        self.initial = weights
        self.host: dict[str, Any] = {}
        self.handles: dict[str, Any] = {}
        self.reset()

    def reset(self) -> None:
        """Give every buffer the value that it begins with."""
        weights = self.initial
        views = weights.views
        # numpy has no complex32.
        only_torch = [n for n in self.values_of if n in views and views[n].dtype is DType.COMPLEX32]
        initial = materialise(weights, [name for name in self.values_of if name not in only_torch])
        self.host = {name: aligned_copy(array) for name, array in initial.items()}
        if only_torch:
            self.host |= torch_weights(weights, only_torch, private=only_torch)
        self.handles = {}

    def keep(self, handles: Mapping[str, Any], overwritten: Mapping[str, str]) -> None:
        """After a call that failed, take the values that now lie in the memory of donated buffers."""
        names = {value: name for name, value in self.values_of.items()}
        for old, new in overwritten.items():
            if new in handles:
                self.host.pop(names[old], None)
                self.handles[names[old]] = handles[new]

    def replace(self, host: Mapping[str, Any], handles: Mapping[str, Any]) -> None:
        """Take these values for their buffers; other buffers stay as they are."""
        kept_host = {name: v for name, v in self.host.items() if name not in handles}
        kept_handles = {name: v for name, v in self.handles.items() if name not in host}
        self.host, self.handles = {**kept_host, **host}, {**kept_handles, **handles}
