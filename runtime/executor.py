"""`Compiled`: a program that is ready to be called like the module it came from.

Construction settles everything that does not depend on a call's arguments: where segments run, the lifetimes
of values, the weights. A call checks its arguments and runs the steps. Only then it writes the inputs and
buffers that the program mutates. But a buffer whose old value nothing reads any more is written in place
before that, see `runtime.state`.

Outputs are dense row-major where an engine made them, and strided as the host target made them elsewhere.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from lowering.host.shutdown import closed_at_exit
from lowering.ir.facts.effects import sees_memory
from lowering.ir.plan import Plan
from lowering.ir.program import InputKind, Program
from lowering.ir.tree import NodeType, TreeSpec, unflatten
from lowering.ir.types import TensorType
from lowering.ir.updates import input_updates, updates
from lowering.ir.weights import Weights
from lowering.targets import HOST_NAME, HOST_TITLE
from lowering.targets.errors import ExecutionError
from runtime.adapters import NOTHING_GIVEN, Adapters, Given, HasAdapters
from runtime.bound_weights import BoundWeights
from runtime.fast_call import FastCall
from runtime.frame import Frame, Shared, Specialise
from runtime.hooks import Callback, Hook, Hooks
from runtime.inputs import NO_TYPES, Binder, Bound
from runtime.loaded import Loaded
from runtime.origin import Origin
from runtime.padding import NO_PADDING, SegmentPadding
from runtime.profile import Profile, Profiler
from runtime.report import Fallback, Report
from runtime.results import Written, read_contract
from runtime.session import Session
from runtime.small_sizes import NOTHING_KNOWN, AtOne, SmallSizes
from runtime.specialisations import OnNewSize
from runtime.state import State, StateFiles, StateSpec
from runtime.step import Step

# No short way, and none is learnt.
_NO_SHORT: tuple[FastCall | None, bool] = (None, False)


@closed_at_exit("__init__", "__call__", "call", "profile_call", "load_at", "set_weights", "buffers")
class Compiled(HasAdapters):
    """A functional program on engines and on the host target.

    `program`: functional, its mutations outputs of the signature. `specialise(segment, sizes)` gives the
    module and the binary of a StableHLO segment for the symbols' values, and its engine. Where it raises
    EngineError, the segment runs on the host. `engine`: the report's name of all that. `device`: where
    tensors may come from, besides the CPU. `cache_size`: how many sizes of a segment are kept. `types`:
    containers beyond Python's own. `packed`: see `lowering.targets.target.NodeSegment`. `on_new_size`: the
    way of a call whose sizes are not compiled yet. `origin`: the lowered program, if it can be asked.
    `at_one`: what is known of sizes of 1. `padding`: by segment, the sizes that others are padded to.
    `files`: they hold states. `beside`: a program whose weights and state it shares, to take adapters.

    Raises WeightError for a weight that is missing, UnknownOperator for an operator that the host target does
    not have.
    """

    def __init__(
        self,
        program: Program,
        plan: Plan,
        weights: Weights,
        specialise: Specialise | None = None,
        engine: str = HOST_NAME,
        device: str = "cpu",
        cache_size: int = 16,
        types: Mapping[str, NodeType] = NO_TYPES,
        packed: bool = False,
        on_new_size: OnNewSize = OnNewSize.WAIT,
        origin: Origin | None = None,
        at_one: AtOne = NOTHING_KNOWN,
        padding: Mapping[int, SegmentPadding] = NO_PADDING,
        files: StateFiles | None = None,
        beside: Compiled | None = None,
    ) -> None:
        self.program = program
        self._binder = Binder(program, tuple(dict.fromkeys(("cpu", device))), types)
        self.report = Report(plan, engine, unchecked_guards=self._binder.unchecked_guards)
        self._contract = read_contract(program, self._binder.leaves)
        buffers = self._contract.buffers
        places = [place for _, place in self._contract.input_writes]
        written = {name for _, name in self._contract.buffer_writes}
        self.written = Written(
            tuple(self._binder.leaves[place].spec.name for place in places),
            (*(name for name in buffers if name in written), *self._contract.tied),
        )
        if beside is None and any(spec.kind is InputKind.ADAPTER for spec in program.signature.inputs):
            raise ExecutionError("the program takes the tensors of an adapter: compile the one without")
        self._adapters = Adapters()
        self._given: Given | None = None if beside is None else NOTHING_GIVEN
        # A node that sees memory would see the caller's, of whatever strides.
        inputs = {} if any(map(sees_memory, program.graph.nodes)) else input_updates(program)
        self._hooking = threading.Lock()
        self._setting = threading.Lock()
        self._shared = Shared(
            program.graph,
            self._contract.constants,
            updates(program) | inputs,
            specialise,
            self.report,
            packed,
            on_new_size,
            origin,
            written_inputs=frozenset(inputs),
        )
        engines = self._shared.engines
        self._spec = StateSpec(tuple(buffers), weights.only(buffers), self._contract.tied, engines, files)
        self._state = State(self._spec)
        if beside is not None:
            self.share_state(beside._state)
        self._rebuild = _rebuilder(program.signature.out_spec, types)
        bound = BoundWeights(weights) if beside is None else beside._loaded.weights
        nodes = {node.name: node for node in program.graph.nodes}
        steps = tuple(
            Step(self._shared, bound, s, [nodes[n] for n in s.nodes], cache_size, padding.get(s.index))
            for s in plan.segments
        )
        self._loaded = Loaded(
            self._shared, bound, steps, self._contract, self._binder, self._rebuild, program.signature
        )
        self._small = SmallSizes(program, at_one)
        self._hooks = Hooks(self._shared)
        # The short way and whether it is learnt, while hooks see the steps of the long one.
        self._short = _NO_SHORT
        self._hooked = False

    # --------------------------------------------------------------------------------------------- calls

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program. Takes and returns what the module did: torch in, torch out; numpy in, numpy out.

        Raises InputError before anything runs, EngineError or ExecutionError while it does. After any of them
        buffers and inputs are as they were. There are two exceptions. As in eager, a buffer keeps the new
        value that a segment before the failing one wrote. Where an engine fails while it overwrites buffers,
        for want of memory say, their values are lost.
        """
        fast = self._loaded.fast
        if fast is not None and not kwargs:
            result = fast(args)
            if result is not NotImplemented:
                return result
        return self.call(self._state, args, kwargs)

    def call(self, state: State, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """The same over any state of this program."""
        # Once: others may come with other weights while this call runs.
        loaded = self._loaded
        bound = self._binder.bind(args, kwargs)
        loaded.results.check_writable(bound)
        if self._contract.buffers:
            with state.lock:
                return self._run(bound, self._loaded, state)
        result = self._run(bound, loaded, state)
        if loaded.learns and not kwargs and not self._small.problem(bound.symbols):
            loaded.learn(args, bound.symbols)
        return result

    def profile(self, *args: Any, **kwargs: Any) -> Profile:
        """Where the time of a call with these arguments goes; the call has all its effects.

        Kernels are of the same call on some engines, and of another run on the same data on others. Raises as
        a call does.
        """
        return self.profile_call(args, kwargs)

    def profile_call(self, args: tuple[Any, ...], kwargs: dict[str, Any], kernels: bool = True) -> Profile:
        """The same; without `kernels`, engines are not asked for what they run inside a segment."""
        profiler = Profiler(self.program, self.report, kernels)
        bound = self._binder.bind(args, kwargs)
        self._loaded.results.check_writable(bound)
        with self._state.lock:
            self._run(bound, self._loaded, self._state, profiler)
        return profiler.profile()

    def on_step(self, callback: Callback) -> Hook:
        """Have a function called after each step of each call, in the thread of the call.

        Calls take the long way until the hook is removed. An error that the function raises ends the call,
        which leaves buffers and inputs as they were.
        """
        with self._hooking:
            if not self._hooked:
                self._short, self._hooked = self._loaded.set_short(_NO_SHORT), True
            return self._hooks.add(callback, self._unhook)

    def _unhook(self, hook: Hook) -> None:
        with self._hooking:
            if self._hooks.discard(hook) and self._hooked:
                self._loaded.set_short(self._short)
                self._hooked = False

    def _run(self, bound: Bound, loaded: Loaded, state: State, profiler: Profiler | None = None) -> Any:
        frame = self._enter(bound, state)
        host, handles = frame.host, frame.handles
        problem = self._small.problem(bound.symbols)
        steps = self._steps_on_host(loaded, bound.symbols, problem) if problem else loaded.calls
        if profiler is not None or self._hooked:
            steps = self._watched(loaded, bool(problem), bound.torch, profiler)
        if profiler is not None:
            profiler.mark("bind")
        try:
            with loaded.without_gradients():
                for step, dead in steps:
                    step(frame)
                    for name in dead:
                        host.pop(name, None)
                        handles.pop(name, None)
        except BaseException:
            for take_back in reversed(frame.rollback):
                take_back()
            state.keep(self._contract.buffers, frame.handles, frame.overwritten)
            raise
        leaves = loaded.results.finish(frame, bound, state)
        self.report.calls += 1
        state.uses_torch = bound.torch
        result = self._rebuild(leaves)
        if profiler is not None:
            profiler.mark("results", frame.symbols)
        return result

    def _watched(
        self, loaded: Loaded, on_host: bool, is_torch: bool, profiler: Profiler | None
    ) -> list[tuple[Callable[[Frame], None], tuple[str, ...]]]:
        """The steps, which hooks and a profiler see."""

        def watched(step: Step) -> Callable[[Frame], None]:
            def run(frame: Frame) -> None:
                call = step.on_host() if on_host else step.chosen(frame.symbols)
                inner = call if profiler is None else partial(profiler.run, step.segment, call)
                if self._hooked:
                    self._hooks.run(step.segment, call, frame, inner, is_torch)
                else:
                    inner(frame)

            return run

        return [(watched(step), dead) for step, dead in zip(loaded.steps, loaded.dead, strict=True)]

    def _steps_on_host(
        self, loaded: Loaded, symbols: Mapping[str, Any], problem: str
    ) -> list[tuple[Callable[[Frame], None], tuple[str, ...]]]:
        """The steps, all of them on the host, for sizes at which the program's types do not hold."""
        reason = f"these sizes run on {HOST_TITLE}: {problem}"
        for step in loaded.steps:
            if step.on_engine:
                fallback = Fallback(step.segment.index, dict(symbols), reason)
                if fallback not in self.report.fallbacks:
                    self.report.fallbacks.append(fallback)
        return [(step.on_host(), dead) for step, dead in zip(loaded.steps, loaded.dead, strict=True)]

    def _enter(self, bound: Bound, state: State) -> Frame:
        """The values that a call begins with."""
        host: dict[str, Any] = {}
        for leaf, given in zip(self._binder.leaves, bound.leaves, strict=True):
            if bound.torch and isinstance(leaf.type, TensorType):
                given = given.detach().resolve_conj().resolve_neg()
            host[leaf.spec.name] = given
        handles: dict[str, Any] = {}
        for name, value in self._contract.buffers.items():
            if name in state.host:
                host[value] = state.host[name]
            else:
                handles[value] = state.handles[name]
        if self._given is not None:
            host.update(self._given.host)
            handles.update(self._given.handles)
        return Frame(host, handles, dict(bound.symbols), {}, [])

    def prepare(self, sizes: Mapping[str, int]) -> None:
        """Compile and load for these sizes now, rather than at the first call with them, and keep that.

        `sizes`: by symbol, or by input and axis (`{"tokens.1": 64}`); of others the example's. Raises
        UsageError for sizes that the program does not have.
        """
        origin = self._shared.origin
        self.load_at(sizes if origin is None else origin.symbols(sizes))

    def load_at(self, symbols: Mapping[str, int]) -> None:
        """The same for these values of the program's symbols."""
        with self._setting:
            for step in self._loaded.steps:
                step.prepare(symbols)

    def save_binaries(self, path: str | PathLike[str] | None = None) -> Path:
        """Write the artifact anew, with the binaries of all sizes that are compiled by now.

        A process that loads it runs these without a compiler. `path`: another place than that of the artifact
        that the program was loaded from. Raises UsageError where there is none, ArtifactError.
        """
        origin = self._shared.origin
        if origin is None:
            raise TypeError("a program that was put together by hand has no artifact")
        steps = self._loaded.steps
        return origin.save([(s.segment.index, sizes) for s in steps for sizes in s.compiled], path)

    def set_weights(self, source: Any, *, cast_weights: bool = False) -> None:
        """Give weights other values, all or some, without compiling anything.

        `source`: as `Lowered.compile` takes it; weights that it does not have keep their values. Tensors of a
        state dict are copied. A call has all old values or all new ones; each that begins after this has the
        new ones. A buffer that calls write keeps its value until `reset` gives it the new one.
        `cast_weights`: round them to the program's dtypes, if they have other floating-point ones.

        Raises WeightsRefused for weights that do not fit, BridgeError for a source that cannot be read,
        EngineError where an engine cannot load them. Then nothing has changed.
        """
        origin = self._owner()
        with self._setting:
            weights = origin.read_weights(source, cast_weights)
            loaded = self._loaded.with_weights(BoundWeights(weights, self._loaded.weights))
            swap = self._adapters.with_weights(loaded.weights)
            origin.keep_weights(weights)
            with self._hooking:
                if self._hooked:
                    self._short = loaded.set_short(_NO_SHORT)
                self._loaded = loaded
            self._spec.initial = weights.only(self._spec.names)
            for each in (loaded, *swap()):
                each.settle()

    def compile_at_once(self) -> None:
        """Compile for sizes that the data gives when they first come, as verification wants it."""
        for step in self._loaded.steps:
            step.threshold = min(step.threshold, 1)

    def state(self) -> State:
        """The buffers that the program writes, as the calls of this object have them: not a copy."""
        return self._state

    def session(self, state: State | None = None) -> Session:
        """Calls over a state of their own: the one given, or a new one of the values before the first call.

        Raises StateRefused for a state of another program.
        """
        if state is not None:
            self._state.require(state)
        return Session(self, State(self._spec) if state is None else state)

    def share_state(self, state: State) -> None:
        """Have calls without a session go over a state that other programs have too.

        It has the buffers of this one, by their full names. Before the first call.
        """
        state.spec.engines.update(self._shared.engines)
        self._shared.engines, self._state, self._spec = state.spec.engines, state, state.spec

    def reset(self) -> None:
        """Give the buffers that the program writes the values that they had before the first call."""
        self._state.reset()

    @property
    def buffers(self) -> dict[str, Any]:
        """The current values of the buffers that the program writes, by full name; copies.

        Of the library that the last call's tensors were of; before a call torch's, where it is imported.
        """
        return self._state.read()


def _rebuilder(spec: TreeSpec, types: Mapping[str, NodeType]) -> Callable[[list[Any]], Any]:
    """Puts the leaves of a result into its structure."""
    if spec.type is None:
        return operator.itemgetter(0)
    if spec.type == "builtins.tuple" and all(child.type is None for child in spec.children):
        return tuple
    return lambda leaves: unflatten(leaves, spec, types)
