"""`Executor`: a plan that is ready to run over a call's arguments, the program's weights and a state.

Construction settles everything that does not depend on a call's arguments: where segments run, the lifetimes
of values, the weights. A call checks its arguments and runs the steps. Only then it writes the inputs and
buffers that the program mutates. But a buffer whose old value nothing reads any more is written in place
before that, see `runtime.buffer_store`.

Outputs are dense row-major where an engine made them, and strided as the host target made them elsewhere.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, Protocol

from lowering.host.shutdown import closed_at_exit
from lowering.ir.facts.effects import sees_memory
from lowering.ir.plan import Plan, Segment
from lowering.ir.program import InputKind, Program
from lowering.ir.tree import NodeType, TreeSpec, unflatten
from lowering.ir.types import TensorType
from lowering.ir.updates import input_updates, updates
from lowering.targets import HOST_NAME, HOST_TITLE
from lowering.targets.errors import ExecutionError
from runtime.bound_weights import BoundWeights
from runtime.buffer_store import BufferStore
from runtime.engine_call import EngineCall
from runtime.frame import Frame, Given, Shared, Specialise
from runtime.host_call import HostCall
from runtime.inputs import NO_TYPES, Binder, Bound
from runtime.loaded import Loaded
from runtime.origin import Origin
from runtime.padding import NO_PADDING, SegmentPadding
from runtime.report import Fallback, Report
from runtime.results import read_contract
from runtime.small_sizes import NOTHING_KNOWN, AtOne, SmallSizes
from runtime.specialisations import OnNewSize
from runtime.step import Step

Call = EngineCall | HostCall
# By step, what runs it, and the values that nothing reads after it.
_Steps = list[tuple[Callable[[Frame], None], tuple[str, ...]]]


class Watch(Protocol):
    """Sees calls from inside: each of their steps is its own to run."""

    def begin(self) -> None:
        """The arguments of a call are checked."""
        ...

    def step(self, segment: Segment, call: Call, frame: Frame, is_torch: bool) -> None:
        """Run a step. `is_torch`: whether the call's tensors are torch's."""
        ...

    def end(self, frame: Frame) -> None:
        """The results are there, and all effects."""
        ...


@closed_at_exit("__init__", "call")
class Executor:
    """A functional program on engines and on the host target.

    `program`: functional, its mutations outputs of the signature. `specialise(segment, sizes)` gives the
    module and the binary of a StableHLO segment for the symbols' values, and its engine. Where it raises
    EngineError, the segment runs on the host. `engine`: the report's name of all that. `device`: where
    tensors may come from, besides the CPU. `cache_size`: how many sizes of a segment are kept. `types`:
    containers beyond Python's own. `packed`: see `lowering.targets.target.NodeSegment`. `on_new_size`: the
    way of a call whose sizes are not compiled yet. `origin`: the lowered program, if it can be asked.
    `at_one`: what is known of sizes of 1. `padding`: by segment, the sizes that others are padded to.
    `given`: the tensors of an adapter, for a program that takes one.

    Raises WeightError for a weight that is missing, UnknownOperator for an operator that the host target does
    not have.

    `loaded`: the steps over the weights of now; others may be put in its place at any time. `watch`: sees
    calls, which take the long way then.
    """

    def __init__(
        self,
        program: Program,
        plan: Plan,
        weights: BoundWeights,
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
        given: Given | None = None,
    ) -> None:
        self.program = program
        self.binder = Binder(program, tuple(dict.fromkeys(("cpu", device))), types)
        self.report = Report(plan, engine, unchecked_guards=self.binder.unchecked_guards)
        self.contract = read_contract(program, self.binder.leaves)
        if given is None and any(spec.kind is InputKind.ADAPTER for spec in program.signature.inputs):
            raise ExecutionError("the program takes the tensors of an adapter: compile the one without")
        self.given = given
        self.watch: Watch | None = None
        # A node that sees memory would see the caller's, of whatever strides.
        inputs = {} if any(map(sees_memory, program.graph.nodes)) else input_updates(program)
        self.shared = Shared(
            program.graph,
            self.contract.constants,
            updates(program) | inputs,
            specialise,
            self.report,
            packed,
            on_new_size,
            origin,
            written_inputs=frozenset(inputs),
        )
        self._rebuild = _rebuilder(program.signature.out_spec, types)
        nodes = {node.name: node for node in program.graph.nodes}
        steps = tuple(
            Step(self.shared, weights, s, [nodes[n] for n in s.nodes], cache_size, padding.get(s.index))
            for s in plan.segments
        )
        self.loaded = Loaded(
            self.shared, weights, steps, self.contract, self.binder, self._rebuild, program.signature
        )
        self._small = SmallSizes(program, at_one)

    def with_given(self, given: Given) -> Executor:
        """The same program, called with these tensors of an adapter."""
        made = copy(self)
        made.given, made.watch = given, None
        return made

    def call(self, store: BufferStore, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Run the program over these buffers.

        Raises InputError before anything runs, EngineError or ExecutionError while it does. After any of them
        buffers and inputs are as they were. There are two exceptions. As in eager, a buffer keeps the new
        value that a segment before the failing one wrote. Where an engine fails while it overwrites buffers,
        for want of memory say, their values are lost.
        """
        # Once: others may come with other weights while this call runs.
        loaded = self.loaded
        bound = self.binder.bind(args, kwargs)
        loaded.results.check_writable(bound, store)
        if self.contract.buffers:
            with store.lock:
                return self._run(bound, self.loaded, store, self.watch)
        result = self._run(bound, loaded, store, self.watch)
        if loaded.learns and not kwargs and not self._small.problem(bound.symbols):
            loaded.learn(args, bound.symbols)
        return result

    def watched_call(
        self, store: BufferStore, args: tuple[Any, ...], kwargs: Mapping[str, Any], watch: Watch
    ) -> Any:
        """The same, seen by this watch; the lock is held even where the program has no buffers."""
        bound = self.binder.bind(args, kwargs)
        self.loaded.results.check_writable(bound, store)
        with store.lock:
            return self._run(bound, self.loaded, store, watch)

    def _run(self, bound: Bound, loaded: Loaded, store: BufferStore, watch: Watch | None) -> Any:
        frame = self._enter(bound, store)
        host, handles = frame.host, frame.handles
        problem = self._small.problem(bound.symbols)
        steps = self._steps_on_host(loaded, bound.symbols, problem) if problem else loaded.calls
        if watch is not None:
            steps = _watched(loaded, bool(problem), bound.torch, watch)
            watch.begin()
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
            store.keep(self.contract.buffers, frame.handles, frame.overwritten)
            raise
        leaves = loaded.results.finish(frame, bound, store)
        self.report.calls += 1
        store.uses_torch = bound.torch
        result = self._rebuild(leaves)
        if watch is not None:
            watch.end(frame)
        return result

    def _steps_on_host(self, loaded: Loaded, symbols: Mapping[str, Any], problem: str) -> _Steps:
        """The steps, all of them on the host, for sizes at which the program's types do not hold."""
        reason = f"these sizes run on {HOST_TITLE}: {problem}"
        for step in loaded.steps:
            if step.on_engine:
                fallback = Fallback(step.segment.index, dict(symbols), reason)
                if fallback not in self.report.fallbacks:
                    self.report.fallbacks.append(fallback)
        return [(step.on_host(), dead) for step, dead in zip(loaded.steps, loaded.dead, strict=True)]

    def _enter(self, bound: Bound, store: BufferStore) -> Frame:
        """The values that a call begins with."""
        host: dict[str, Any] = {}
        for leaf, given in zip(self.binder.leaves, bound.leaves, strict=True):
            if bound.torch and isinstance(leaf.type, TensorType):
                given = given.detach().resolve_conj().resolve_neg()
            host[leaf.spec.name] = given
        handles: dict[str, Any] = {}
        for name, value in self.contract.buffers.items():
            if name in store.host:
                host[value] = store.host[name]
            else:
                handles[value] = store.handles[name]
        if self.given is not None:
            host.update(self.given.host)
            handles.update(self.given.handles)
        return Frame(host, handles, dict(bound.symbols), {}, [])


def _watched(loaded: Loaded, on_host: bool, is_torch: bool, watch: Watch) -> _Steps:
    """The steps, which a watch runs."""

    def watched(step: Step) -> Callable[[Frame], None]:
        def run(frame: Frame) -> None:
            call = step.on_host() if on_host else step.chosen(frame.symbols)
            watch.step(step.segment, call, frame, is_torch)

        return run

    return [(watched(step), dead) for step, dead in zip(loaded.steps, loaded.dead, strict=True)]


def _rebuilder(spec: TreeSpec, types: Mapping[str, NodeType]) -> Callable[[list[Any]], Any]:
    """Puts the leaves of a result into its structure."""
    if spec.type is None:
        return operator.itemgetter(0)
    if spec.type == "builtins.tuple" and all(child.type is None for child in spec.children):
        return tuple
    return lambda leaves: unflatten(leaves, spec, types)
