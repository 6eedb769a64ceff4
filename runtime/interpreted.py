"""A program run on the host target as it was read, writes and all.

This is the reference, and the way out for a program without a functional form.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import torch

from lowering.host.memory import private_copy
from lowering.host.shutdown import closed_at_exit
from lowering.host.tensors import numpy_to_torch, torch_to_numpy
from lowering.host.weights import torch_weights
from lowering.ir.plan import Placement, Plan, Segment
from lowering.ir.program import STORED, InputKind, Program, Ref
from lowering.ir.tree import NodeType, unflatten
from lowering.ir.weights import Weights
from lowering.targets import HOST_NAME, get_host
from runtime.adapters import AdapterRefused
from runtime.hooks import Callback, Callbacks, Hook, StepEvent
from runtime.inputs import NO_TYPES, Binder, Bound
from runtime.origin import WeightOrigin
from runtime.profile import Profile, Profiler
from runtime.report import Report
from runtime.results import RETURNED, Written


@closed_at_exit("__init__", "__call__", "profile_call", "set_weights", "buffers")
class Interpreted:
    """Called like `Compiled`, on the host target alone, before any rewrite.

    Weights are private copies, tied ones sharing memory. A failed call leaves weights and inputs as they
    were: each call copies the tensors that the program may write. Raises InputError, ExecutionError or what
    the target raises.
    """

    def __init__(
        self,
        program: Program,
        plan: Plan,
        weights: Weights,
        types: Mapping[str, NodeType] = NO_TYPES,
        origin: WeightOrigin | None = None,
    ) -> None:
        self.program = program
        self.report = Report(plan, HOST_NAME)
        self._types = types
        self._binder = Binder(program, types=types)
        specs = [spec for spec in program.signature.inputs if spec.kind in STORED and spec.fqn]
        self._weights = weights
        self._origin = origin
        self._setting = threading.Lock()
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
        nodes = tuple(node.name for node in program.graph.nodes)
        self._segment = Segment(0, Placement.ATEN, nodes, (), ())
        self._callbacks = Callbacks()
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

    def set_weights(self, source: Any, *, cast_weights: bool = False) -> None:
        """Give weights other values, all or some; see `Compiled.set_weights`."""
        if self._origin is None:
            raise TypeError("a program that was put together by hand keeps its weights")
        with self._setting:
            weights = self._origin.read_weights(source, cast_weights)
            written = set(self.written.buffers)
            changed = [name for name in self._names if name in self._weights.changed(weights) - written]
            made = torch_weights(weights, changed, private=changed)
            self._origin.keep_weights(weights)
            with self._lock:
                self._weights = weights
                self._tensors = {**self._tensors, **made}

    def add_adapter(self, name: str, weights: Any, scale: float | None = None, *, config: Any = None) -> None:
        """Raises AdapterRefused: layers cannot be told apart from writes around them."""
        raise AdapterRefused(
            f"the adapter {name!r} cannot be added to a program that runs as it was read; merge it"
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program; torch in, torch out; numpy in, numpy out."""
        return self._call(args, kwargs)

    def profile(self, *args: Any, **kwargs: Any) -> Profile:
        """Where the time of a call with these arguments goes; the call has all its effects."""
        return self.profile_call(args, kwargs)

    def profile_call(self, args: tuple[Any, ...], kwargs: dict[str, Any], kernels: bool = True) -> Profile:
        """The same; the host has no kernels."""
        profiler = Profiler(self.program, self.report, kernels)
        self._call(args, kwargs, profiler)
        return profiler.profile()

    def on_step(self, callback: Callback) -> Hook:
        """Have a function called after each call, which is one step, in the thread of the call.

        An error that the function raises ends the call, which leaves buffers and inputs as they were.
        """
        return self._callbacks.add(callback, self._callbacks.discard)

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any], profiler: Profiler | None = None) -> Any:
        bound = self._binder.bind(args, kwargs)
        leaves = [numpy_to_torch(leaf) if isinstance(leaf, np.ndarray) else leaf for leaf in bound.leaves]
        with self._lock, torch.no_grad():
            written = [self._tensors[name] for name in self._written]
            restore = _snapshot(written + [leaves[place] for place in self._written_leaves])
            if profiler is not None:
                profiler.mark("bind")
            try:
                results = self._run(leaves, bound, profiler)
            except BaseException:
                restore()
                raise
        self.report.calls += 1
        self._uses_torch = bound.torch
        if not bound.torch:
            results = [_as_numpy(result) for result in results]
        result = unflatten(results, self.program.signature.out_spec, self._types)
        if profiler is not None:
            profiler.mark("results", bound.symbols)
        return result

    def _run(self, leaves: list[Any], bound: Bound, profiler: Profiler | None) -> list[Any]:
        """The leaves of the result."""
        run = partial(self._host.interpret, self.program, self._tensors, leaves, bound.symbols)
        if not self._callbacks:
            return run() if profiler is None else profiler.whole(self._segment, run)
        names = [leaf.spec.name for leaf in self._binder.leaves]
        given = dict(zip(names, leaves, strict=True))
        inputs = {name: _kept(value, name in self.written.inputs) for name, value in given.items()}
        start = perf_counter()
        results = run() if profiler is None else profiler.whole(self._segment, run)
        seconds = perf_counter() - start
        returned = [spec.value for spec in self.program.signature.outputs if spec.kind in RETURNED]
        named = zip(returned, results, strict=True)
        outputs = {value.name: result for value, result in named if isinstance(value, Ref)}
        if not bound.torch:
            inputs, outputs = (
                {name: _as_numpy(v) for name, v in values.items()} for values in (inputs, outputs)
            )
        nodes = self._segment.nodes
        self._callbacks.tell(StepEvent(0, HOST_NAME, nodes, inputs, outputs, start, seconds))
        return results


def _kept(value: Any, is_written: bool) -> Any:
    return private_copy(value) if is_written and isinstance(value, torch.Tensor) else value


def _as_numpy(value: Any) -> Any:
    return torch_to_numpy(value) if isinstance(value, torch.Tensor) else value


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
