"""`Compiled`: a program that is ready to be called like the module it came from.

Construction settles everything that does not depend on a call's arguments: where segments run, the lifetimes
of values, the weights. A call checks its arguments and runs the steps. Only then it writes the inputs and
buffers that the program mutates. But a buffer whose old value nothing reads any more is written in place
before that, see `runtime.state`.

Outputs are dense row-major where an engine made them, and strided as the host target made them elsewhere.
"""

from __future__ import annotations

import operator
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from lowering.host.memory import in_kind, private_copy
from lowering.host.shutdown import closed_at_exit
from lowering.ir.facts.effects import sees_memory
from lowering.ir.plan import Plan, Segment
from lowering.ir.program import Program, Ref
from lowering.ir.tree import NodeType, TreeSpec, unflatten
from lowering.ir.types import TensorType
from lowering.ir.updates import input_updates, updates
from lowering.ir.weights import Weights
from lowering.targets import HOST_NAME, HOST_TITLE, get_host
from runtime.fast_call import FastCall
from runtime.frame import Frame, Shared, Specialise
from runtime.hooks import Callback, Hook, Hooks
from runtime.inputs import NO_TYPES, Binder, Bound
from runtime.origin import Origin
from runtime.padding import NO_PADDING, SegmentPadding
from runtime.profile import Profile, Profiler
from runtime.report import Fallback, Report
from runtime.results import Results, Written, read_contract
from runtime.small_sizes import NOTHING_KNOWN, AtOne, SmallSizes
from runtime.specialisations import OnNewSize
from runtime.state import State
from runtime.step import Step


@closed_at_exit("__init__", "__call__", "profile_call", "load_at", "buffers")
class Compiled:
    """A functional program on engines and on the host target.

    `program`: functional, its mutations outputs of the signature. `specialise(segment, sizes)` gives the
    module and the binary of a StableHLO segment for the symbols' values, and its engine. Where it raises
    EngineError, the segment runs on the host. `engine`: the report's name of all that. `device`: where
    tensors may come from, besides the CPU. `cache_size`: how many sizes of a segment are kept. `types`:
    containers beyond Python's own. `packed`: see `lowering.targets.target.NodeSegment`. `on_new_size`: the
    way of a call whose sizes are not compiled yet. `origin`: the lowered program, if it can be asked.
    `at_one`: what is known of sizes of 1. `padding`: by segment, the sizes that others are padded to.

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
    ) -> None:
        self.program = program
        self._binder = Binder(program, tuple(dict.fromkeys(("cpu", device))), types)
        self.report = Report(plan, engine, unchecked_guards=self._binder.unchecked_guards)
        self._contract = read_contract(program, self._binder.leaves)
        buffers = self._contract.buffers
        self._state = State(weights, buffers) if buffers else None
        places = [place for _, place in self._contract.input_writes]
        self.written = Written(
            tuple(self._binder.leaves[place].spec.name for place in places), (*buffers, *self._contract.tied)
        )
        # A node that sees memory would see the caller's, of whatever strides.
        inputs = {} if any(map(sees_memory, program.graph.nodes)) else input_updates(program)
        self._lock = threading.Lock()
        self._hooking = threading.Lock()
        # Whether the last call's tensors were torch's.
        self._uses_torch: bool | None = None
        self._shared = Shared(
            program.graph,
            self._contract.constants,
            updates(program) | inputs,
            weights,
            specialise,
            self.report,
            packed,
            on_new_size,
            origin,
            written_inputs=frozenset(inputs),
        )
        self._results = Results(self._shared, self._contract, self._binder.leaves)
        self._segments = self._build_steps(plan, cache_size, padding)
        # Of each segment the values that nothing reads after it.
        self._dead = self._lifetimes(plan.segments)
        self._steps = tuple(zip([step.call for step in self._segments], self._dead, strict=True))
        self._without_gradients = get_host().without_gradients if self._shared.on_host else nullcontext
        self._rebuild = _rebuilder(program.signature.out_spec, types)
        self._small = SmallSizes(program, at_one)
        step = self._only_step()
        self._fast = self._fast_path({}) if step is not None and step.static else None
        self._learns = step is not None and bool(step.symbols)
        self._hooks = Hooks(self._shared)
        # The short way and whether it is learnt, while hooks see the steps of the long one.
        self._short: tuple[FastCall | None, bool] = (None, False)
        self._hooked = False

    # ------------------------------------------------------------------------------------- construction

    def _build_steps(
        self, plan: Plan, cache_size: int, padding: Mapping[int, SegmentPadding]
    ) -> tuple[Step, ...]:
        nodes = {node.name: node for node in self.program.graph.nodes}
        return tuple(
            Step(
                self._shared,
                segment,
                [nodes[name] for name in segment.nodes],
                cache_size,
                padding.get(segment.index),
            )
            for segment in plan.segments
        )

    def _lifetimes(self, segments: Sequence[Segment]) -> list[tuple[str, ...]]:
        needed = {spec.value.name for spec in self.program.signature.outputs if isinstance(spec.value, Ref)}
        dead: list[tuple[str, ...]] = []
        for segment in reversed(segments):
            names = dict.fromkeys((*segment.inputs, *segment.outputs))
            dead.append(tuple(name for name in names if name not in needed))
            needed.update(names)
        return dead[::-1]

    def _only_step(self) -> Step | None:
        """The step of a program that is one segment on an engine, has plain tensors and no effects."""
        contract = self._contract
        if contract.buffer_writes or contract.input_writes or not self._binder.plain:
            return None
        return self._segments[0] if len(self._segments) == 1 and self._segments[0].on_engine else None

    def _fast_path(self, symbols: Mapping[str, Any]) -> FastCall | None:
        """The short way for such a program, once its segment is loaded for some sizes; else None."""
        contract, step = self._contract, self._only_step()
        loaded = step.peek(symbols) if step is not None else None
        if step is None or loaded is None:
            return None
        places = {leaf.spec.name: index for index, leaf in enumerate(self._binder.leaves)}
        names = [value.name if isinstance(value, Ref) else "" for value in contract.returned]
        tensors = all(isinstance(self.program.graph.values.get(name), TensorType) for name in names)
        distinct = len(set(names)) == len(names) and set(names) <= set(loaded.outputs)
        if not tensors or not distinct or not all(port.name in places for port in loaded.inputs):
            return None
        order = tuple(places[port.name] for port in loaded.inputs)
        picked = tuple(loaded.outputs.index(name) for name in names)
        everything = picked == tuple(range(len(loaded.outputs)))
        picked = None if everything else picked
        return FastCall(step, loaded, order, picked, self._binder, self.report, self._rebuild)

    def _learn(self, args: tuple[Any, ...], bound: Bound) -> None:
        """Remember that a call with these shapes is right, so that the next one takes the short way."""
        if self._fast is None:
            self._fast = self._fast_path(bound.symbols)
            self._learns = self._fast is not None
        if self._fast is not None:
            self._fast.learn(tuple(given.shape for given in args), bound.symbols)

    # --------------------------------------------------------------------------------------------- calls

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program. Takes and returns what the module did: torch in, torch out; numpy in, numpy out.

        Raises InputError before anything runs, EngineError or ExecutionError while it does. After any of them
        buffers and inputs are as they were. There are two exceptions. As in eager, a buffer keeps the new
        value that a segment before the failing one wrote. Where an engine fails while it overwrites buffers,
        for want of memory say, their values are lost.
        """
        if self._fast is not None and not kwargs:
            result = self._fast(args)
            if result is not NotImplemented:
                return result
        bound = self._binder.bind(args, kwargs)
        self._results.check_writable(bound)
        if self._state is not None:
            with self._lock:
                return self._run(bound)
        result = self._run(bound)
        if self._learns and not kwargs and not self._small.problem(bound.symbols):
            self._learn(args, bound)
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
        self._results.check_writable(bound)
        with self._lock:
            self._run(bound, profiler)
        return profiler.profile()

    def on_step(self, callback: Callback) -> Hook:
        """Have a function called after each step of each call, in the thread of the call.

        Calls take the long way until the hook is removed. An error that the function raises ends the call,
        which leaves buffers and inputs as they were.
        """
        with self._hooking:
            if not self._hooked:
                self._short = (self._fast, self._learns)
                self._fast, self._learns, self._hooked = None, False, True
            return self._hooks.add(callback, self._unhook)

    def _unhook(self, hook: Hook) -> None:
        with self._hooking:
            if self._hooks.discard(hook) and self._hooked:
                self._fast, self._learns = self._short
                self._hooked = False

    def _run(self, bound: Bound, profiler: Profiler | None = None) -> Any:
        frame = self._enter(bound)
        host, handles = frame.host, frame.handles
        problem = self._small.problem(bound.symbols)
        steps = self._steps_on_host(bound.symbols, problem) if problem else self._steps
        if profiler is not None or self._hooked:
            steps = self._watched(bool(problem), bound.torch, profiler)
        if profiler is not None:
            profiler.mark("bind")
        try:
            with self._without_gradients():
                for step, dead in steps:
                    step(frame)
                    for name in dead:
                        host.pop(name, None)
                        handles.pop(name, None)
        except BaseException:
            for take_back in reversed(frame.rollback):
                take_back()
            if self._state is not None:
                self._state.keep(frame.handles, frame.overwritten)
            raise
        leaves = self._results.finish(frame, bound, self._state)
        self.report.calls += 1
        self._uses_torch = bound.torch
        result = self._rebuild(leaves)
        if profiler is not None:
            profiler.mark("results", frame.symbols)
        return result

    def _watched(
        self, on_host: bool, is_torch: bool, profiler: Profiler | None
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

        return [(watched(step), dead) for step, dead in zip(self._segments, self._dead, strict=True)]

    def _steps_on_host(
        self, symbols: Mapping[str, Any], problem: str
    ) -> list[tuple[Callable[[Frame], None], tuple[str, ...]]]:
        """The steps, all of them on the host, for sizes at which the program's types do not hold."""
        reason = f"these sizes run on {HOST_TITLE}: {problem}"
        for step in self._segments:
            if step.on_engine:
                fallback = Fallback(step.segment.index, dict(symbols), reason)
                if fallback not in self.report.fallbacks:
                    self.report.fallbacks.append(fallback)
        return [(step.on_host(), dead) for step, dead in zip(self._segments, self._dead, strict=True)]

    def _enter(self, bound: Bound) -> Frame:
        """The values that a call begins with."""
        host: dict[str, Any] = {}
        for leaf, given in zip(self._binder.leaves, bound.leaves, strict=True):
            if bound.torch and isinstance(leaf.type, TensorType):
                given = given.detach().resolve_conj().resolve_neg()
            host[leaf.spec.name] = given
        handles: dict[str, Any] = {}
        if self._state is not None:
            names = self._state.values_of
            host.update((names[target], value) for target, value in self._state.host.items())
            handles.update((names[target], value) for target, value in self._state.handles.items())
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
        for step in self._segments:
            step.prepare(symbols)

    def save_binaries(self, path: str | PathLike[str] | None = None) -> Path:
        """Write the artifact anew, with the binaries of all sizes that are compiled by now.

        A process that loads it runs these without a compiler. `path`: another place than that of the artifact
        that the program was loaded from. Raises UsageError where there is none, ArtifactError.
        """
        origin = self._shared.origin
        if origin is None:
            raise TypeError("a program that was put together by hand has no artifact")
        return origin.save([(s.segment.index, sizes) for s in self._segments for sizes in s.compiled], path)

    def compile_at_once(self) -> None:
        """Compile for sizes that the data gives when they first come, as verification wants it."""
        for step in self._segments:
            step.threshold = min(step.threshold, 1)

    def reset(self) -> None:
        """Give the buffers that the program writes the values that they had before the first call."""
        if self._state is not None:
            with self._lock:
                self._state.reset()

    @property
    def buffers(self) -> dict[str, Any]:
        """The current values of the buffers that the program writes, by full name; copies.

        Of the library that the last call's tensors were of; before a call torch's, where it is imported.
        """
        state = self._state
        if state is None:
            return {}
        shared, is_torch = self._shared, self._uses_torch
        if is_torch is None:
            is_torch = "torch" in sys.modules
        of_handle = shared.to_torch if is_torch else shared.to_numpy
        with self._lock:
            held = {
                name: in_kind(state.host[name], is_torch)
                if name in state.host
                else of_handle(state.handles[name])
                for name in state.values_of
            }
            held |= {name: held[other] for name, other in self._contract.tied.items()}
            return {name: private_copy(value) for name, value in held.items()}


def _rebuilder(spec: TreeSpec, types: Mapping[str, NodeType]) -> Callable[[list[Any]], Any]:
    """Puts the leaves of a result into its structure."""
    if spec.type is None:
        return operator.itemgetter(0)
    if spec.type == "builtins.tuple" and all(child.type is None for child in spec.children):
        return tuple
    return lambda leaves: unflatten(leaves, spec, types)
