"""A program run on the host target as it was read, writes and all.

This is the reference, and the way out for a program without a functional form.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from lowering.host.shutdown import closed_at_exit
from lowering.host.tensors import numpy_to_torch, torch_to_numpy
from lowering.host.weights import torch_weights
from lowering.ir.plan import Plan
from lowering.ir.program import STORED, InputKind, Program
from lowering.ir.tree import NodeType, unflatten
from lowering.ir.weights import Weights
from lowering.targets import HOST_NAME, get_host
from runtime.inputs import NO_TYPES, Binder
from runtime.report import Report
from runtime.results import Written


@closed_at_exit("__init__", "__call__", "buffers")
class Interpreted:
    """Called like `Compiled`, on the host target alone, before any rewrite.

    Weights are private copies, tied ones sharing memory. A failed call leaves weights and inputs as they
    were: each call copies the tensors that the program may write. Raises InputError, ExecutionError or what
    the target raises.
    """

    def __init__(
        self, program: Program, plan: Plan, weights: Weights, types: Mapping[str, NodeType] = NO_TYPES
    ) -> None:
        self.program = program
        self.report = Report(plan, HOST_NAME)
        self._types = types
        self._binder = Binder(program, types=types)
        specs = [spec for spec in program.signature.inputs if spec.kind in STORED and spec.fqn]
        self._weights = weights
        self._names = [spec.fqn for spec in specs if spec.fqn is not None]
        self._tensors = torch_weights(weights, self._names, private=self._names)
        self._host = get_host()
        written = self._host.written_inputs(program)
        self._written = [spec.fqn for spec in specs if spec.name in written and spec.fqn is not None]
        self._written_leaves = [
            place for place, leaf in enumerate(self._binder.leaves) if leaf.spec.name in written
        ]
        self._buffers = [
            s.fqn for s in specs if s.fqn and (s.kind is not InputKind.PARAMETER or s.fqn in self._written)
        ]
        names = [self._binder.leaves[place].spec.name for place in self._written_leaves]
        self.written = Written(tuple(names), tuple(self._written))
        self._lock = threading.Lock()
        self._uses_torch = True

    @property
    def buffers(self) -> dict[str, Any]:
        """The current values of all buffers, constants and written parameters, by full name; copies.

        Of the library that the last call's tensors were of; before a call torch's.
        """
        with self._lock:
            held = {name: self._tensors[name].clone().contiguous() for name in self._buffers}
        return held if self._uses_torch else {name: torch_to_numpy(value) for name, value in held.items()}

    def reset(self) -> None:
        """Give the buffers the values that they had before the first call."""
        with self._lock:
            self._tensors = torch_weights(self._weights, self._names, private=self._names)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program; torch in, torch out; numpy in, numpy out."""
        bound = self._binder.bind(args, kwargs)
        leaves = [numpy_to_torch(leaf) if isinstance(leaf, np.ndarray) else leaf for leaf in bound.leaves]
        with self._lock, torch.no_grad():
            written = [self._tensors[name] for name in self._written]
            restore = _snapshot(written + [leaves[place] for place in self._written_leaves])
            try:
                results = self._host.interpret(self.program, self._tensors, leaves, bound.symbols)
            except BaseException:
                restore()
                raise
        self.report.calls += 1
        self._uses_torch = bound.torch
        if not bound.torch:
            results = [torch_to_numpy(r) if isinstance(r, torch.Tensor) else r for r in results]
        return unflatten(results, self.program.signature.out_spec, self._types)


def _snapshot(values: list[Any]) -> Any:
    """A function that gives the tensors among these the values that they have now."""
    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    versions = [tensor._version for tensor in tensors]
    saved = [tensor.detach().clone() for tensor in tensors]

    def restore() -> None:
        for tensor, version, before in zip(tensors, versions, saved, strict=True):
            if tensor._version != version:
                tensor.detach().copy_(before)

    return restore
