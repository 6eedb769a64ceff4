"""A program run on the host target as it was read, writes and all.

This is the reference, and the way out for a program without a functional form.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import torch

from bridge.compiled.adapters import AdapterRefused
from bridge.compiled.hooks import Callback, Callbacks, Hook, StepEvent
from bridge.compiled.origin import WeightOrigin
from bridge.compiled.profile import Profile, Profiler
from bridge.compiled.session import Session
from bridge.compiled.state import State, StateFiles, StateRefused, StateSpec, Written
from lowering.host.memory import in_kind, private_copy
from lowering.host.shutdown import closed_at_exit
from lowering.host.tensors import numpy_to_torch, torch_to_numpy
from lowering.host.weights import torch_weights
from lowering.ir.plan import Placement, Plan, Segment
from lowering.ir.program import STORED, InputKind, Program, Ref
from lowering.ir.tree import NodeType, unflatten
from lowering.ir.weights import Weights
from lowering.targets import HOST_NAME, get_host
from runtime.buffer_store import BufferStore
from runtime.inputs import NO_TYPES, Binder, Bound
from runtime.report import Report
from runtime.results import RETURNED


@closed_at_exit("__init__", "call", "profile_call", "set_weights", "buffers")
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
        files: StateFiles | None = None,
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
        held = tuple(_beside(weights, self._names, self._written))
        self._spec: StateSpec = _TensorSpec(held, weights.only(held), files=files)
        self._state: State = _TensorState(self._spec)

    @property
    def buffers(self) -> dict[str, Any]:
        """The current values of all buffers, constants and written parameters, by full name; copies.

        Of the library that the last call's tensors were of; before a call torch's.
        """
        store = self._state.store
        with store.lock:
            tensors = {**self._tensors, **store.host}
            held = {name: tensors[name].clone().contiguous() for name in self._buffers}
        if store.uses_torch is not False:
            return held
        return {name: torch_to_numpy(value) for name, value in held.items()}

    def state(self) -> State:
        """The tensors that the program may write, as the calls of this object have them: not a copy."""
        return self._state

    def session(self, state: State | None = None) -> Session:
        """Calls over a state of their own; see `Compiled.session`."""
        if state is not None:
            self._state.require(state)
        return Session(self, _TensorState(self._spec) if state is None else state)

    def reset(self) -> None:
        """Give the buffers the values that they had before the first call."""
        self._state.reset()

    def set_weights(self, source: Any, *, cast_weights: bool = False) -> None:
        """Give weights other values, all or some; see `Compiled.set_weights`."""
        if self._origin is None:
            raise TypeError("a program that was put together by hand keeps its weights")
        with self._setting:
            weights = self._origin.read_weights(source, cast_weights)
            changed = [name for name in self._names if name in self._weights.changed(weights)]
            made = torch_weights(weights, changed, private=changed)
            self._origin.keep_weights(weights)
            self._weights = weights
            self._tensors = {**self._tensors, **made}
            self._spec.initial = weights.only(self._spec.names)

    def add_adapter(self, name: str, weights: Any, scale: float | None = None, *, config: Any = None) -> None:
        """Raises AdapterRefused: layers cannot be told apart from writes around them."""
        raise AdapterRefused(
            f"the adapter {name!r} cannot be added to a program that runs as it was read; merge it"
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program; torch in, torch out; numpy in, numpy out."""
        return self.call(self._state.store, args, kwargs)

    def profile(self, *args: Any, **kwargs: Any) -> Profile:
        """Where the time of a call with these arguments goes; the call has all its effects."""
        return self.profile_call(args, kwargs)

    def profile_call(self, args: tuple[Any, ...], kwargs: dict[str, Any], kernels: bool = True) -> Profile:
        """The same; the host has no kernels."""
        profiler = Profiler(self.program, self.report, kernels)
        self.call(self._state.store, args, kwargs, profiler)
        return profiler.profile()

    def on_step(self, callback: Callback) -> Hook:
        """Have a function called after each call, which is one step, in the thread of the call.

        An error that the function raises ends the call, which leaves buffers and inputs as they were.
        """
        return self._callbacks.add(callback, self._callbacks.discard)

    def call(
        self,
        store: BufferStore,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        profiler: Profiler | None = None,
    ) -> Any:
        """Run the program over the buffers of any state of it."""
        bound = self._binder.bind(args, kwargs)
        leaves = [numpy_to_torch(leaf) if isinstance(leaf, np.ndarray) else leaf for leaf in bound.leaves]
        with store.lock, torch.no_grad():
            tensors = {**self._tensors, **store.host}
            written = [tensors[name] for name in self._written]
            restore = _snapshot(written + [leaves[place] for place in self._written_leaves])
            if profiler is not None:
                profiler.mark("bind")
            try:
                results = self._run(tensors, leaves, bound, profiler)
            except BaseException:
                restore()
                raise
        self.report.calls += 1
        store.uses_torch = bound.torch
        if not bound.torch:
            results = [_as_numpy(result) for result in results]
        result = unflatten(results, self.program.signature.out_spec, self._types)
        if profiler is not None:
            profiler.mark("results", bound.symbols)
        return result

    def _run(
        self, tensors: Mapping[str, Any], leaves: list[Any], bound: Bound, profiler: Profiler | None
    ) -> list[Any]:
        """The leaves of the result."""
        run = partial(self._host.interpret, self.program, tensors, leaves, bound.symbols)
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


def share_state(programs: Sequence[Interpreted], weights: Weights) -> None:
    """Have programs over these weights be called over the same tensors, where one of them may write these.

    Before their first call.
    """
    names = list(dict.fromkeys(name for program in programs for name in program._names))
    written = [name for program in programs for name in program._written]
    held = tuple(_beside(weights, names, written))
    state = _TensorState(_TensorSpec(held, weights.only(held)))
    for program in programs:
        program._spec, program._state = state.spec, state


class _TensorSpec(StateSpec):
    def first_values(self) -> dict[str, Any]:
        """With the strides and the shared memory that the program's weights have."""
        return torch_weights(self.initial, self.names, private=self.names)


class _TensorState(State):
    """Tensors that may share memory, as those of a module do."""

    def bind(self, tensors: Mapping[str, Any]) -> None:
        """Raises StateRefused: buffers that share memory have no tensor each."""
        raise StateRefused(
            "the buffers of a program that runs as it was read cannot be bound: set them, and read them"
        )

    def _all(self) -> dict[str, Any]:
        return _copies(self.store.host)

    def _assign(self, values: Mapping[str, Any]) -> None:
        host = _copies(self.store.host)
        for name, value in values.items():
            try:
                host[name].copy_(in_kind(value, is_torch=True))
            except RuntimeError:
                raise StateRefused(
                    f"the buffer {name!r} has several elements in one place, and cannot be set"
                ) from None
        self.store.host = host


def _beside(weights: Weights, names: list[str], written: list[str]) -> Iterator[str]:
    """The names whose weights lie in the storages of written ones."""
    storages = {weights.views[name].storage for name in written if name in weights.views}
    return (name for name in names if name in weights.views and weights.views[name].storage in storages)


def _copies(tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Copies that share memory among each other as these do."""
    made: dict[int, torch.Tensor] = {}
    found: dict[str, Any] = {}
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage()
        whole = made.get(storage.data_ptr())
        if whole is None:
            whole = torch.empty(0, dtype=torch.uint8).set_(storage.clone())
            made[storage.data_ptr()] = whole
        copied = torch.empty(0, dtype=tensor.dtype).set_(whole.untyped_storage())
        found[name] = copied.as_strided(tensor.size(), tensor.stride(), tensor.storage_offset())
    return found


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
