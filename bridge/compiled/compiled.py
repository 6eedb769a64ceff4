"""`Compiled`: a program that is ready to be called like the module it came from.

An executor runs its calls. Around it stand the state between calls, weights that change, adapters, and all
that looks into calls.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from os import PathLike
from pathlib import Path
from typing import Any

from bridge.compiled.adapters import AdapterRefused, Adapters
from bridge.compiled.hooks import Callback, Hook, Hooks
from bridge.compiled.origin import CompiledOrigin
from bridge.compiled.profile import Profile, Profiler
from bridge.compiled.session import Session
from bridge.compiled.state import State, StateFiles, StateSpec, Written
from lowering.host.shutdown import closed_at_exit
from lowering.ir.errors import did_you_mean
from runtime.bound_weights import BoundWeights
from runtime.executor import Executor
from runtime.frame import Given
from runtime.loaded import Loaded


@closed_at_exit("__call__", "profile_call", "load_at", "set_weights", "buffers")
class Compiled:
    """A functional program, called like its module, with a state and weights that can be changed.

    `executor`: runs the calls. `origin`: the lowered program, if it can be asked. `files`: they hold states.
    `state`: one of a program with the same buffers; by default one of its own.
    """

    def __init__(
        self,
        executor: Executor,
        origin: CompiledOrigin | None = None,
        files: StateFiles | None = None,
        state: State | None = None,
    ) -> None:
        self.executor = executor
        self.program = executor.program
        self.report = executor.report
        self.hooks = Hooks(executor)
        self._origin = origin
        self._adapters = Adapters()
        # Held while weights or adapters change.
        self._setting = threading.Lock()
        contract = executor.contract
        buffers, written = tuple(contract.buffers), {name for _, name in contract.buffer_writes}
        self.written = Written(
            tuple(executor.binder.leaves[place].spec.name for _, place in contract.input_writes),
            (*(name for name in buffers if name in written), *contract.tied),
        )
        if state is None:
            initial = executor.loaded.weights.weights.only(buffers)
            self._state = State(StateSpec(buffers, initial, contract.tied, executor.shared.engines, files))
        else:
            self.share_state(state)

    # --------------------------------------------------------------------------------------------- calls

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program. Takes and returns what the module did: torch in, torch out; numpy in, numpy out.

        Raises InputError before anything runs, EngineError or ExecutionError while it does. After any of them
        buffers and inputs are as they were. There are two exceptions. As in eager, a buffer keeps the new
        value that a segment before the failing one wrote. Where an engine fails while it overwrites buffers,
        for want of memory say, their values are lost.
        """
        fast = self.executor.loaded.fast
        if fast is not None and not kwargs:
            result = fast(args)
            if result is not NotImplemented:
                return result
        return self.executor.call(self._state.store, args, kwargs)

    def profile(self, *args: Any, **kwargs: Any) -> Profile:
        """Where the time of a call with these arguments goes; the call has all its effects.

        Kernels are of the same call on some engines, and of another run on the same data on others. Raises as
        a call does.
        """
        return self.profile_call(args, kwargs)

    def profile_call(self, args: tuple[Any, ...], kwargs: dict[str, Any], kernels: bool = True) -> Profile:
        """The same; without `kernels`, engines are not asked for what they run inside a segment."""
        profiler = Profiler(self.program, self.report, kernels, self.hooks)
        self.executor.watched_call(self._state.store, args, kwargs, profiler)
        return profiler.profile()

    def on_step(self, callback: Callback) -> Hook:
        """Have a function called after each step of each call, in the thread of the call.

        Calls take the long way until the hook is removed. An error that the function raises ends the call,
        which leaves buffers and inputs as they were.
        """
        return self.hooks.watch(callback)

    # --------------------------------------------------------------------------------------------- sizes

    def prepare(self, sizes: Mapping[str, int]) -> None:
        """Compile and load for these sizes now, rather than at the first call with them, and keep that.

        `sizes`: by symbol, or by input and axis (`{"tokens.1": 64}`); of others the example's. Raises
        UsageError for sizes that the program does not have.
        """
        self.load_at(sizes if self._origin is None else self._origin.symbols(sizes))

    def load_at(self, symbols: Mapping[str, int]) -> None:
        """The same for these values of the program's symbols."""
        with self._setting:
            for step in self.executor.loaded.steps:
                step.prepare(symbols)

    def compile_at_once(self) -> None:
        """Compile for sizes that the data gives when they first come, as verification wants it."""
        for step in self.executor.loaded.steps:
            step.threshold = min(step.threshold, 1)

    def save_binaries(self, path: str | PathLike[str] | None = None) -> Path:
        """Write the artifact anew, with the binaries of all sizes that are compiled by now.

        A process that loads it runs these without a compiler. `path`: another place than that of the artifact
        that the program was loaded from. Raises UsageError where there is none, ArtifactError.
        """
        if self._origin is None:
            raise TypeError("a program that was put together by hand has no artifact")
        steps = self.executor.loaded.steps
        return self._origin.save([(s.segment.index, sizes) for s in steps for sizes in s.compiled], path)

    # --------------------------------------------------------------------------------------------- state

    def state(self) -> State:
        """The buffers that the program writes, as the calls of this object have them: not a copy."""
        return self._state

    def session(self, state: State | None = None) -> Session:
        """Calls over a state of their own: the one given, or a new one of the values before the first call.

        Raises StateRefused for a state of another program.
        """
        if state is not None:
            self._state.require(state)
        return Session(self.executor, State(self._state.spec) if state is None else state)

    def share_state(self, state: State) -> None:
        """Have calls without a session go over a state that other programs have too.

        It has the buffers of this one, by their full names. Before the first call.
        """
        shared, engines = self.executor.shared, state.spec.engines
        engines.update(shared.engines)
        shared.engines, self._state = engines, state

    def reset(self) -> None:
        """Give the buffers that the program writes the values that they had before the first call."""
        self._state.reset()

    @property
    def buffers(self) -> dict[str, Any]:
        """The current values of the buffers that the program writes, by full name; copies.

        Of the library that the last call's tensors were of; before a call torch's, where it is imported.
        """
        return self._state.read()

    # ---------------------------------------------------------------------------- weights, and adapters

    def set_weights(self, source: Any, *, cast_weights: bool = False) -> None:
        """Give weights other values, all or some, without compiling anything.

        `source`: as `Lowered.compile` takes it; weights that it does not have keep their values. Tensors of a
        state dict are copied. A call has all old values or all new ones; each that begins after this has the
        new ones. A buffer that calls write keeps its value until `reset` gives it the new one.
        `cast_weights`: round them to the program's dtypes, if they have other floating-point ones.

        Raises WeightsRefused for weights that do not fit, BridgeError for a source that cannot be read,
        EngineError where an engine cannot load them. Then nothing has changed.
        """
        with self.loaded_weights(source, cast_weights) as take:
            take()

    @contextmanager
    def loaded_weights(self, source: Any, cast_weights: bool) -> Iterator[Callable[[], None]]:
        """Load other weights, as `set_weights` takes them: the function has calls begin with them.

        Nobody else sets weights meanwhile. Without the function nothing has changed.
        """
        origin, spec = self._owner(), self._state.spec
        with self._setting:
            weights = origin.read_weights(source, cast_weights)
            before = self.executor.loaded
            loaded = before.with_weights(BoundWeights(weights, before.weights))
            swap = self._adapters.with_weights(loaded.weights)

            def take() -> None:
                self.begin_with(loaded)
                spec.initial = weights.only(spec.names)
                for each in (loaded, *swap()):
                    each.settle()

            yield take

    def begin_with(self, loaded: Loaded) -> None:
        """Have calls begin with these steps, over other weights."""
        if self._origin is not None:
            self._origin.keep_weights(loaded.weights.weights)
        self.hooks.begin_with(loaded)

    def add_adapter(self, name: str, weights: Any, scale: float | None = None, *, config: Any = None) -> None:
        """Have `with_adapter(name)` call the program with a low-rank adapter. The weights stay as they are.

        `weights`: a folder or a `.safetensors` file as PEFT writes it, or a state dict with its names; its
        tensors are copied. `scale`: in place of `lora_alpha / r`; without settings it is needed. `config`:
        PEFT's settings, a file or a mapping, in place of those beside the file.

        The first adapter of a form, which is the layers and ranks, is compiled for. Raises AdapterRefused for
        one that does not fit and for a name that is taken, EngineError.
        """
        origin = self._owner()
        with self._setting:
            if name in self._adapters.calls:
                raise AdapterRefused(f"the adapter {name!r} is there; remove it first")
            adapter = origin.adapter(weights, scale, config)
            self._adapters.add(name, adapter, lambda: origin.with_adapters(adapter.form, self))

    def remove_adapter(self, name: str) -> None:
        """Forget an adapter; calls that run go on. Raises AdapterRefused."""
        with self._setting:
            self.with_adapter(name)
            self._adapters.remove(name)

    @property
    def adapters(self) -> tuple[str, ...]:
        """The names of the adapters, in the order in which they came."""
        return tuple(self._adapters.calls)

    def with_adapter(self, name: str) -> Compiled:
        """The program with an adapter, over the same weights and state. Raises AdapterRefused."""
        found = self._adapters.calls.get(name)
        if found is None:
            near = did_you_mean(name, self.adapters)
            raise AdapterRefused(f"the adapter {name!r} does not exist{near}")
        return found

    def with_given(self, given: Given) -> Compiled:
        """The same program, called with these tensors of an adapter."""
        made = copy(self)
        made.executor = self.executor.with_given(given)
        made.hooks = Hooks(made.executor)
        return made

    def _owner(self) -> CompiledOrigin:
        """The lowered program, to change what this one has."""
        if self._origin is None:
            raise TypeError("a program that was put together by hand keeps its weights")
        if self.executor.given is not None:
            raise AdapterRefused(
                "this program has an adapter: set weights and add adapters on the one without"
            )
        return self._origin
