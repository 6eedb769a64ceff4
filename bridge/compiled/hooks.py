"""Hooks: functions that see each step of a call when it has run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from lowering.host.memory import in_kind, private_copy
from lowering.ir.plan import Segment
from lowering.ir.symbols import UnboundSymbol
from lowering.ir.types import SymType, TokenType
from lowering.targets import HOST_NAME
from runtime.engine_call import EngineCall
from runtime.executor import Call, Executor
from runtime.frame import Frame, read_scalar
from runtime.loaded import NO_SHORT, Loaded


@dataclass(frozen=True, slots=True)
class StepEvent:
    """A step that has run.

    `segment`: its index in the plan. `engine`: the engine that ran it, or the host target. `nodes`: their
    names. `inputs`, `outputs`: values by name, of the library that the call's tensors are of; weights are not
    among them. They are views where that costs nothing: a hook copies the values that it keeps. `start`: as
    `time.perf_counter` has it. `seconds`: imports and exports of the step's inputs included.
    """

    segment: int
    engine: str
    nodes: tuple[str, ...]
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    start: float
    seconds: float


Callback = Callable[[StepEvent], Any]


class Hook:
    """A registered callback. `with compiled.on_step(callback):` removes it at the end."""

    def __init__(self, remove: Callable[[Hook], object]) -> None:
        self._remove = remove

    def remove(self) -> None:
        """Let the callback see no more steps. Again, this does nothing."""
        self._remove(self)

    def __enter__(self) -> Hook:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class Callbacks:
    """The callbacks of one program, in the order that they came in."""

    def __init__(self) -> None:
        self._callbacks: dict[Hook, Callback] = {}

    def __bool__(self) -> bool:
        return bool(self._callbacks)

    def add(self, callback: Callback, remove: Callable[[Hook], object]) -> Hook:
        hook = Hook(remove)
        # A call that runs meanwhile has the callbacks that it began with.
        self._callbacks = {**self._callbacks, hook: callback}
        return hook

    def discard(self, hook: Hook) -> bool:
        """Whether none is left."""
        self._callbacks = {one: call for one, call in self._callbacks.items() if one is not hook}
        return not self._callbacks

    def tell(self, event: StepEvent) -> None:
        """An error that one raises ends the call."""
        for callback in self._callbacks.values():
            callback(event)


class Hooks(Callbacks):
    """The callbacks of a program with steps: while there are any, they watch its calls."""

    def __init__(self, executor: Executor) -> None:
        super().__init__()
        self._executor = executor
        self._lock = threading.Lock()
        # The short way, and whether it is learnt, while callbacks see the steps of the long one.
        self._short = NO_SHORT

    def watch(self, callback: Callback) -> Hook:
        """Have the callback see calls that begin from now on."""
        executor = self._executor
        with self._lock:
            if executor.watch is None:
                self._short, executor.watch = executor.loaded.set_short(NO_SHORT), self
            return self.add(callback, self._remove)

    def _remove(self, hook: Hook) -> None:
        executor = self._executor
        with self._lock:
            if self.discard(hook) and executor.watch is not None:
                executor.loaded.set_short(self._short)
                executor.watch = None

    def begin_with(self, loaded: Loaded) -> None:
        """Have calls begin with these steps, over other weights; they are watched as before."""
        executor = self._executor
        with self._lock:
            if executor.watch is not None:
                self._short = loaded.set_short(NO_SHORT)
            executor.loaded = loaded

    def begin(self) -> None:
        """Steps alone are told of."""

    def step(self, segment: Segment, call: Call, frame: Frame, is_torch: bool) -> None:
        """Run a step, and tell the callbacks."""
        self.run(segment, call, frame, call, is_torch)

    def end(self, frame: Frame) -> None:
        """Steps alone are told of."""

    def run(
        self, segment: Segment, call: Call, frame: Frame, step: Callable[[Frame], None], is_torch: bool
    ) -> None:
        """Run a step the way that is given, and tell the callbacks."""
        inputs = self._inputs(segment, frame, is_torch)
        start = perf_counter()
        step(frame)
        seconds = perf_counter() - start
        engine = call.engine.name if isinstance(call, EngineCall) else HOST_NAME
        outputs = {name: self._value(frame, name, is_torch) for name in self._shown(segment.outputs)}
        self.tell(StepEvent(segment.index, engine, segment.nodes, inputs, outputs, start, seconds))

    def _inputs(self, segment: Segment, frame: Frame, is_torch: bool) -> dict[str, Any]:
        shared = self._executor.shared
        found: dict[str, Any] = {}
        for name in self._shown(segment.inputs):
            if name in shared.constants:
                continue
            try:
                value = self._value(frame, name, is_torch)
            except UnboundSymbol:  # the step itself binds it
                continue
            # The step may overwrite it.
            found[name] = private_copy(value) if name in shared.updates else value
        return found

    def _shown(self, names: tuple[str, ...]) -> list[str]:
        values = self._executor.shared.graph.values
        return [name for name in names if not isinstance(values.get(name), TokenType)]

    def _value(self, frame: Frame, name: str, is_torch: bool) -> Any:
        shared = self._executor.shared
        if isinstance(shared.graph.values.get(name), SymType):
            return read_scalar(shared, frame, name)
        if name in frame.host:
            value = frame.host[name]
            return in_kind(value, is_torch) if hasattr(value, "shape") else value
        handle = frame.handles[name]
        return shared.to_torch(handle) if is_torch else shared.to_numpy(handle)
