"""`Compiled`: a program that is ready to be called like the module it came from.

Everything that does not depend on a call's arguments is settled at construction: which segment runs where,
what passes between them and until when, which weights are bound. A call checks its arguments, runs the steps,
and only then writes: the caller's inputs that the program mutates, and the buffers. But a buffer whose old
value nothing reads any more is written in place before that, see `runtime.state`.

Outputs are dense row-major where an engine made them, and strided as ATen made them elsewhere.
"""

from __future__ import annotations

import operator
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from typing import Any

import numpy as np

from lowering.host.shutdown import closed_at_exit
from lowering.host.tensors import aligned
from lowering.ir.plan import Placement, Plan, Segment
from lowering.ir.program import Program, Ref
from lowering.ir.tree import NodeType, TreeSpec, unflatten
from lowering.ir.types import TensorType
from lowering.ir.updates import updates
from lowering.ir.weights import Weights
from runtime.inputs import NO_TYPES, Binder, Bound
from runtime.report import Fallback, Report
from runtime.results import Results, read_contract
from runtime.segments import AtenSegment, Context, Frame, Loaded, Specialise, StableHloSegment
from runtime.small_sizes import SmallSizes
from runtime.state import State, in_kind, private_copy

# How many combinations of the inputs' shapes are remembered as checked.
MAX_SHAPES = 1024
_NO_SYMBOLS: Mapping[str, Any] = {}


@closed_at_exit("__init__", "__call__", "profile", "prepare", "buffers")
class Compiled:
    """A functional program on engines and on ATen.

    `program`: functional, its mutations outputs of the signature. `specialise(segment, sizes)` gives the
    module and the binary of a StableHLO segment for the symbols' values, and the engine that runs it; it may
    raise EngineError, and then the segment runs on ATen. `engine`: what the report calls all that.
    `device`: where tensors may come from, besides the CPU. `cache_size`: how many sizes of a segment are
    kept. `types`: containers beyond Python's own. `packed`: what runs on ATen runs there by
    `lowering.targets.aten.prepacking`.

    Raises WeightError for a weight that is missing, UnknownTarget for an operator that ATen does not have.
    """

    def __init__(
        self,
        program: Program,
        plan: Plan,
        weights: Weights,
        specialise: Specialise | None = None,
        engine: str = "aten",
        device: str = "cpu",
        cache_size: int = 16,
        types: Mapping[str, NodeType] = NO_TYPES,
        packed: bool = False,
    ) -> None:
        self.program = program
        self._binder = Binder(program, tuple(dict.fromkeys(("cpu", device))), types)
        self.report = Report(plan, engine, unchecked_guards=self._binder.unchecked_guards)
        self._contract = read_contract(program, self._binder.leaves)
        buffers = self._contract.buffers
        self._state = State(weights, buffers) if buffers else None
        self._lock = threading.Lock()
        # Whether the last call's tensors were torch's.
        self._uses_torch: bool | None = None
        self._context = Context(
            program.graph,
            self._contract.constants,
            updates(program),
            weights,
            specialise,
            self.report,
            {},
            [],
            {},
            packed,
        )
        self._results = Results(self._context, self._contract, self._binder.leaves)
        self._steps = self._build_steps(plan, cache_size)
        self._without_gradients = _switch(self._context.aten)
        self._rebuild = _rebuilder(program.signature.out_spec, types)
        self._small = SmallSizes(program)
        segment = self._one_segment()
        self._fast = self._fast_path({}) if segment is not None and segment.static else None
        self._learns = segment is not None and bool(segment.symbols)

    # ------------------------------------------------------------------------------------- construction

    def _build_steps(
        self, plan: Plan, cache_size: int
    ) -> tuple[tuple[Callable[[Frame], None], tuple[str, ...]], ...]:
        """Each segment with the values that nothing reads after it."""
        nodes = {node.name: node for node in self.program.graph.nodes}
        steps: list[Callable[[Frame], None]] = []
        for segment in plan.segments:
            members = [nodes[name] for name in segment.nodes]
            on_engine = segment.placement is Placement.STABLEHLO
            steps.append(
                StableHloSegment(self._context, segment, members, cache_size)
                if on_engine
                else AtenSegment(self._context, segment, members)
            )
        return tuple(zip(steps, self._lifetimes(plan.segments), strict=True))

    def _lifetimes(self, segments: Sequence[Segment]) -> list[tuple[str, ...]]:
        needed = {spec.value.name for spec in self.program.signature.outputs if isinstance(spec.value, Ref)}
        dead: list[tuple[str, ...]] = []
        for segment in reversed(segments):
            names = dict.fromkeys((*segment.inputs, *segment.outputs))
            dead.append(tuple(name for name in names if name not in needed))
            needed.update(names)
        return dead[::-1]

    def _one_segment(self) -> StableHloSegment | None:
        """The segment of a program that is only that, called with plain tensors and without effects."""
        contract = self._contract
        step = self._steps[0][0] if len(self._steps) == 1 else None
        if contract.buffer_writes or contract.input_writes or not self._binder.plain:
            return None
        return step if isinstance(step, StableHloSegment) else None

    def _fast_path(self, symbols: Mapping[str, Any]) -> FastCall | None:
        """The short way for such a program, once its segment is loaded for some sizes; else None."""
        contract, step = self._contract, self._one_segment()
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
        return FastCall(self, step, loaded, order, None if everything else picked)

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

        Raises InputError before anything runs, EngineError or ExecutionError while it does; after any of them
        buffers and inputs are as they were. Except that, as in eager, a buffer has its new value where an
        engine has overwritten it in a segment before the one that failed; and that where an engine fails
        while it overwrites buffers, for want of memory say, their values are lost.
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

    def profile(self, *args: Any, **kwargs: Any) -> tuple[float, ...]:
        """Seconds of each segment in a call with these arguments, which has all effects of a call.

        A segment's imports are its own; what it makes is exported by whoever reads it. Raises as a call does.
        """
        bound = self._binder.bind(args, kwargs)
        self._results.check_writable(bound)
        times = [time.perf_counter()]
        with self._lock:
            self._run(bound, times)
        return tuple(end - start for start, end in pairwise(times))

    def _run(self, bound: Bound, times: list[float] | None = None) -> Any:
        frame = self._enter(bound)
        host, handles = frame.host, frame.handles
        problem = self._small.problem(bound.symbols)
        steps = self._steps_on_aten(bound.symbols, problem) if problem else self._steps
        try:
            with self._without_gradients():
                for step, dead in steps:
                    step(frame)
                    if times is not None:
                        times.append(time.perf_counter())
                    for name in dead:
                        host.pop(name, None)
                        handles.pop(name, None)
        except BaseException:
            for undo in reversed(frame.undo):
                undo()
            if self._state is not None:
                self._state.keep(frame.handles, frame.overwritten)
            raise
        leaves = self._results.finish(frame, bound, self._state)
        self.report.calls += 1
        self._uses_torch = bound.torch
        return self._rebuild(leaves)

    def _steps_on_aten(
        self, symbols: Mapping[str, Any], problem: str
    ) -> list[tuple[Callable[[Frame], None], tuple[str, ...]]]:
        """The steps, all of them on ATen, for sizes at which the program's types do not hold."""
        reason = f"these sizes run on ATen: {problem}"
        steps: list[tuple[Callable[[Frame], None], tuple[str, ...]]] = []
        for step, dead in self._steps:
            if isinstance(step, StableHloSegment):
                fallback = Fallback(step.segment.index, dict(symbols), reason)
                if fallback not in self.report.fallbacks:
                    self.report.fallbacks.append(fallback)
                step = step.on_aten()
            steps.append((step, dead))
        return steps

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

    def prepare(self, symbols: Mapping[str, int]) -> None:
        """Load every segment for these values of the symbols now, rather than at the first call with them."""
        for step, _ in self._steps:
            if isinstance(step, StableHloSegment) and not step.patience:
                step.loaded(symbols)

    def compile_at_once(self) -> None:
        """Compile for sizes that the data gives when they first come, as verification wants it."""
        for step, _ in self._steps:
            if isinstance(step, StableHloSegment) and step.patience:
                step.patience = 1

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
        context, is_torch = self._context, self._uses_torch
        if is_torch is None:
            is_torch = "torch" in sys.modules
        of_handle = context.to_torch if is_torch else context.to_numpy
        with self._lock:
            held = {
                name: in_kind(state.host[name], is_torch)
                if name in state.host
                else of_handle(state.handles[name])
                for name in state.values_of
            }
            held |= {name: held[other] for name, other in self._contract.tied.items()}
            return {name: private_copy(value) for name, value in held.items()}


class FastCall:
    """A call of one segment without effects: nothing is looked up but what is loaded for its sizes."""

    # Less memory to touch: what the engine ran before has swept the caches.
    __slots__ = (
        "_binder", "_engine", "_is_static", "_known", "_order", "_picked", "_rebuild", "_report", "_static",
        "_step", "_target",
    )  # fmt: skip

    def __init__(
        self,
        owner: Compiled,
        step: StableHloSegment,
        loaded: Loaded,
        order: tuple[int, ...],
        picked: tuple[int, ...] | None,
    ) -> None:
        self._step = step
        self._is_static = not step.symbols
        self._static = step.static
        self._known: dict[tuple[Any, ...], Mapping[str, Any]] = {}
        self._order = order
        self._picked = picked
        self._target = loaded.target
        self._report = owner.report
        self._binder = owner._binder
        self._rebuild = owner._rebuild
        self._engine = loaded.engine

    def learn(self, shapes: tuple[Any, ...], symbols: Mapping[str, Any]) -> None:
        """Shapes that were checked, and the symbols that they bind."""
        if len(self._known) >= MAX_SHAPES:
            self._known.clear()
        self._known[tuple(tuple(shape) for shape in shapes)] = symbols

    def __call__(self, args: tuple[Any, ...]) -> Any:
        """The result, or NotImplemented for arguments that need more than this."""
        engine, binder, target = self._engine, self._binder, self._target
        shapes, symbols = None, _NO_SYMBOLS
        if not self._is_static:
            try:
                shapes = tuple([getattr(given, "shape", None) for given in args])
                symbols = self._known.get(shapes)
            except (TypeError, RuntimeError):  # no tensor, or a nested one: its shape is something else
                return NotImplemented
            if symbols is None:
                return NotImplemented
        if binder.fast_torch(args, shapes):
            try:
                starts = [given.data_ptr() for given in args]
            except RuntimeError:  # it stands for another tensor
                return NotImplemented
            for given, start in zip(args, starts):  # noqa: B905 - as many
                # Without memory it stands for another tensor, too, or has no elements.
                if start & 63 or not start or not given.is_contiguous():
                    return NotImplemented
            load, export = engine.from_known, engine.to_torch
        elif binder.fast_numpy(args, shapes):
            args = tuple([self._aligned(given) for given in args])
            load, export = engine.from_tensor, engine.to_numpy
        else:
            return NotImplemented
        loaded = self._static or self._step.loaded(symbols)
        if loaded is None:
            return NotImplemented
        results = loaded.run([load(args[index], target) for index in self._order])
        self._report.calls += 1
        if self._picked is not None:
            results = [results[index] for index in self._picked]
        return self._rebuild([export(result) for result in results])

    def _aligned(self, given: np.ndarray) -> np.ndarray:
        dense = aligned(given)
        self._report.copies += dense is not given
        return dense


def _switch(aten: Sequence[AtenSegment]) -> Callable[[], AbstractContextManager[Any]]:
    """What a call runs under: no gradients, where segments on ATen have imported torch."""
    if not aten:
        return nullcontext
    import torch

    return torch.no_grad


def _rebuilder(spec: TreeSpec, types: Mapping[str, NodeType]) -> Callable[[list[Any]], Any]:
    """Puts the leaves of a result into its structure."""
    if spec.type is None:
        return operator.itemgetter(0)
    if spec.type == "builtins.tuple" and all(child.type is None for child in spec.children):
        return tuple
    return lambda leaves: unflatten(leaves, spec, types)
