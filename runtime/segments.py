"""The steps of a compiled program: a StableHLO segment on an engine, a segment on ATen.

Values pass between steps in a `Frame`: by name, as an engine's handle, as a tensor in host form, or both.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lowering.host.packages import needs
from lowering.host.tensors import ALIGNMENT, aligned, numpy_dtype, numpy_to_torch
from lowering.host.weights import materialise
from lowering.ir.errors import EngineError
from lowering.ir.facts.effects import sees_memory
from lowering.ir.module import Check, Module, Port
from lowering.ir.plan import Segment
from lowering.ir.program import Graph, Node
from lowering.ir.symbols import Scalar, evaluate, is_unbacked
from lowering.ir.types import SymType, TensorType, TokenType, contiguous_strides
from lowering.ir.unbacked import symbols_of
from lowering.ir.uses import used_from_outside
from lowering.ir.weights import Weights
from lowering.targets.aten import UNDO
from lowering.targets.errors import error_of
from lowering.targets.target import Built, Engine, Executable, Target
from runtime.report import Fallback, Report
from runtime.state import base, private_copy, torch_weights

# At which call with sizes from the data they are compiled for; until then the segment runs on ATen.
PATIENCE = 2
# How many sizes from the data are remembered as seen.
MAX_SEEN = 256

Updates = Mapping[str, str]
Specialise = Callable[[Segment, Mapping[str, Scalar]], Built]


class Frame(NamedTuple):
    """The values of one call.

    `host`: tensors of torch or numpy and scalars; `handles`: the engine's. `overwritten`: the buffers' values
    that the call has donated so far, and the new values that lie in their place. `undo`: what takes back the
    call's writes in place on ATen.
    """

    host: dict[str, Any]
    handles: dict[str, Any]
    symbols: dict[str, Any]
    overwritten: dict[str, str]
    undo: list[Callable[[], Any]]


class Context(NamedTuple):
    """What all segments of a program share.

    `constants`: full names of the unchanging weights by value name. `updates`: the buffers' values that a
    call may overwrite, and the new values that take their place. `arrays`: weights bound to engines. `aten`:
    the segments that run on ATen, fallbacks included. `engines`: those that loaded a segment, by the type of
    their handles. `packed`: what runs on ATen runs there by `lowering.targets.aten.prepacking`.
    """

    graph: Graph
    constants: Mapping[str, str]
    updates: Updates
    weights: Weights
    specialise: Specialise | None
    report: Report
    arrays: dict[str, np.ndarray]
    aten: list[AtenSegment]
    engines: dict[type, Engine]
    packed: bool = False

    def to_torch(self, handle: Any) -> Any:
        return self.engines[type(handle)].to_torch(handle)

    def to_numpy(self, handle: Any) -> np.ndarray:
        return self.engines[type(handle)].to_numpy(handle)


class Loaded(NamedTuple):
    """A segment loaded for some sizes: the call, the engine it is on, the ports that come with each call, the
    results' names.

    `donated`: places of the inputs that a call overwrites, and the names of the results that lie there then.
    """

    run: Executable
    engine: Engine
    target: Target
    inputs: tuple[Port, ...]
    outputs: tuple[str, ...]
    donated: tuple[tuple[int, str], ...] = ()


class Checked:
    """An executable whose last result says which checks of the data failed; raises for the first that did."""

    def __init__(self, run: Executable, built: Built, checks: tuple[Check, ...]) -> None:
        self._run = run
        self._read = built.engine.read
        self._target = built.target
        self._checks = checks

    def __call__(self, handles: Sequence[Any]) -> list[Any]:
        results = self._run(handles)
        failed = self._read(results.pop(), self._target)
        if b"\1" in failed:
            raise error_of(self._checks[failed.index(1)])
        return results


class Preflighted:
    """An executable that overwrites arguments, after another that says which checks of the data fail."""

    def __init__(self, run: Executable, check: Executable, built: Built) -> None:
        module = built.module
        assert module.preflight is not None
        names = [port.name for port in module.inputs if port.weight is None]
        self._places = [names.index(port.name) for port in module.preflight.inputs if port.weight is None]
        self._check = Checked(check, built, module.preflight.checks)
        self._run = run

    def __call__(self, handles: Sequence[Any]) -> list[Any]:
        self._check([handles[place] for place in self._places])
        return self._run(handles)[:-1]


class StableHloSegment:
    """A segment on an engine, specialised to the sizes of a call, from a bounded cache.

    A segment that the engine refuses at some sizes runs on ATen for these, and the report says so.
    """

    def __init__(self, context: Context, segment: Segment, nodes: list[Node], capacity: int) -> None:
        self.segment = segment
        self._context = context
        self._nodes = nodes
        values = context.graph.values
        self._scalars = {name for name in segment.inputs if isinstance(values.get(name), SymType)}
        self._capacity = capacity
        self._cache: OrderedDict[tuple[Scalar | None, ...], Loaded | None] = OrderedDict()
        self._lock = threading.Lock()
        self._aten: AtenSegment | None = None
        # What its module depends on; without any it is loaded once, now.
        self.symbols = symbols_of(context.graph, segment, nodes)
        # Sizes that only the data gives are compiled for when they come again, as long as they are few.
        self.patience = PATIENCE if any(map(is_unbacked, self.symbols)) else 0
        self._compiled = 0
        self._seen: OrderedDict[tuple[Scalar | None, ...], int] = OrderedDict()
        self.static = None if self.symbols else self._load_or_fall_back({})
        if not self.symbols and self.static is None:
            self.on_aten()

    def loaded(self, symbols: Mapping[str, Scalar]) -> Loaded | None:
        """The executable for these sizes, compiled at the first call; None where the engine refused it."""
        if not self.symbols:
            return self.static
        key = tuple(symbols.get(name) for name in self.symbols)
        report = self._context.report
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                report.hits += 1
                return self._cache[key]
            sizes = {name: symbols[name] for name in self.symbols if name in symbols}
            if self.patience and not self._pays(key, sizes):
                report.postponed += 1
                return None
            report.misses += 1
            entry = self._cache[key] = self._load_or_fall_back(sizes)
            if len(self._cache) > self._capacity:
                self._cache.popitem(last=False)
                report.evictions += 1
            return entry

    def _pays(self, key: tuple[Scalar | None, ...], sizes: Mapping[str, Scalar]) -> bool:
        """Whether sizes from the data are compiled for: they came before, and not too many others did."""
        if self._compiled >= self._capacity:
            return False
        seen = self._seen.pop(key, 0) + 1
        if seen < self.patience:
            self._seen[key] = seen
            if len(self._seen) > MAX_SEEN:
                self._seen.popitem(last=False)
            return False
        self._compiled += 1
        if self._compiled == self._capacity:
            reason = f"the data gave {self._capacity} sizes that came again; no others are compiled"
            self._context.report.fall_back(Fallback(self.segment.index, sizes, reason))
        return True

    def peek(self, symbols: Mapping[str, Scalar]) -> Loaded | None:
        """What is loaded for these sizes, without loading or counting."""
        if not self.symbols:
            return self.static
        return self._cache.get(tuple(symbols.get(name) for name in self.symbols))

    def _load_or_fall_back(self, sizes: Mapping[str, Scalar]) -> Loaded | None:
        try:
            return self._load(sizes)
        except EngineError as error:
            self._context.report.fall_back(Fallback(self.segment.index, sizes, str(error), error.node))
            return None

    def _load(self, sizes: Mapping[str, Scalar]) -> Loaded:
        context = self._context
        if context.specialise is None:
            raise EngineError("no engine was given")
        built = context.specialise(self.segment, sizes)
        module, engine = built.module, built.engine
        run = self._bind(built, module, built.binary)
        if module.preflight is not None:
            run = Preflighted(run, self._bind(built, module.preflight, built.preflight), built)
        elif module.checks:
            run = Checked(run, built, module.checks)
        context.engines[engine.handle] = engine
        inputs = tuple(port for port in module.inputs if port.weight is None)
        outputs = module.outputs[:-1] if module.checks else module.outputs
        places = {port.name: place for place, port in enumerate(inputs)}
        donated = tuple((places[given], made) for given, made in module.donated)
        return Loaded(run, engine, built.target, inputs, tuple(port.name for port in outputs), donated)

    def _bind(self, built: Built, module: Module, binary: bytes) -> Executable:
        """A module loaded with its weights: one array per weight, whatever reads it."""
        context = self._context
        names = dict.fromkeys(port.weight for port in module.inputs if port.weight is not None)
        context.arrays.update(materialise(context.weights, [n for n in names if n not in context.arrays]))
        bound = {name: context.arrays[name] for name in names}
        return built.engine.load(binary, module, built.target, bound)

    def on_aten(self) -> AtenSegment:
        """The same nodes on ATen."""
        with self._lock:
            if self._aten is None:
                self._aten = self._moved_to_aten()
            return self._aten

    def _moved_to_aten(self) -> AtenSegment:
        try:
            return AtenSegment(self._context, self.segment, self._nodes)
        except ModuleNotFoundError as error:
            index, told = self.segment.index, self._context.report.fallbacks
            reason = next(
                (f"; {fallback.reason}" for fallback in told[::-1] if fallback.segment == index), ""
            )
            raise EngineError(f"segment {index} has to run on ATen, which {needs(error)}{reason}") from error

    def __call__(self, frame: Frame) -> None:
        loaded = self.loaded(frame.symbols)
        if loaded is None:
            self.on_aten()(frame)
            return
        handles, own = frame.handles, loaded.engine.handle
        given = [
            handle
            if type(handle := handles.get(port.name)) is own
            else self._import(frame, port, handle, loaded)
            for port in loaded.inputs
        ]
        for place, _ in loaded.donated:
            given[place] = loaded.engine.own(given[place], loaded.target)
        for name, made in zip(loaded.outputs, loaded.run(given), strict=True):
            handles[name] = made
        for place, made in loaded.donated:
            frame.overwritten[loaded.inputs[place].name] = made

    def _import(self, frame: Frame, port: Port, foreign: Any, loaded: Loaded) -> Any:
        """An argument from host form, or from another engine's handle, which stays the value's own."""
        context = self._context
        if foreign is not None:
            value = context.to_torch(foreign)
            return import_tensor(loaded.engine, loaded.target, context.report, value)
        if port.name in self._scalars:
            value = np.array(read_scalar(context, frame, port.name), numpy_dtype(port.dtype))
        else:
            value = frame.host[port.name]
        handle = import_tensor(loaded.engine, loaded.target, context.report, value)
        frame.handles[port.name] = handle
        return handle


class AtenSegment:
    """A segment on ATen. Weights are part of its closures; imports torch when it is made."""

    def __init__(self, context: Context, segment: Segment, nodes: list[Node]) -> None:
        from lowering.targets.aten.pipeline import pipeline
        from lowering.targets.aten.prepacking import can_fuse
        from lowering.targets.aten.program import AtenProgram
        from lowering.targets.aten.routine import Routine, admit

        self.segment = segment
        self._context = context
        # Before the passes below look for, or put in, operators of oneDNN.
        admit(nodes)
        read = used_from_outside(nodes)
        named = {name: context.constants[name] for name in read if name in context.constants}
        tensors = torch_weights(context.weights, named.values())
        weights = {name: tensors[weight] for name, weight in named.items()}
        later = {name for other in context.report.plan.segments[segment.index + 1 :] for name in other.inputs}
        own = {old: new for old, new in context.updates.items() if old not in later and old in read}
        inputs = frozenset(read) - weights.keys()
        program = AtenProgram(context.graph, tuple(nodes), inputs, weights, segment.outputs, own)
        program = pipeline(context.packed and can_fuse(program)).run(program)
        self.bases = frozenset(map(base, program.constants.values()))
        self._routine = Routine(
            context.graph, program.nodes, segment.outputs, program.constants, program.in_place, ours=True
        )
        made = set(segment.outputs)
        self._lasting = context.updates.keys() | set(context.updates.values())
        # What others overwrite after this segment has read it.
        self._passing = [
            name for name in read if name in context.updates and context.updates[name] not in made
        ]
        values = context.graph.values
        self._tensors = [
            name for name in read if name not in named and isinstance(values.get(name), TensorType)
        ]
        self._tokens = [name for name in read if isinstance(values.get(name), TokenType)]
        self._scalars = [name for name in read if isinstance(values.get(name), SymType)]
        # Then they must find the strides that the exporter saw, whichever segment takes a value first.
        reads_memory = any(map(sees_memory, context.graph.nodes))
        context.aten.append(self)
        self._strided = {
            name: type_
            for name in (self._tensors if reads_memory else ())
            if isinstance(type_ := values[name], TensorType)
        }

    def __call__(self, frame: Frame) -> None:
        host, handles = frame.host, frame.handles
        env: dict[str, Any] = {UNDO: frame.undo}
        for name in self._tensors:
            env[name] = self._tensor(frame, name)
        for name in self._scalars:
            # Others follow from the symbols, of which this segment itself may be what binds them.
            if name in host or name in handles:
                env[name] = read_scalar(self._context, frame, name)
        for name in self._tokens:
            env[name] = None
        passing = {base(env[name]) for name in self._passing} if self._passing else ()
        self._routine(env, frame.symbols)
        for name in self.segment.outputs:
            value = env[name]
            if passing and hasattr(value, "untyped_storage") and base(value) in passing:
                value = private_copy(value)
            # A new value under this name: what an engine held before is not it.
            handles.pop(name, None)
            host[name] = value

    def _tensor(self, frame: Frame, name: str) -> Any:
        value = frame.host.get(name)
        if value is None:
            value = self._context.to_torch(frame.handles[name])
            type_ = self._strided.get(name)
            if type_ is not None:
                value = _with_strides(value, type_, frame.symbols)
            # XLA overwrites no buffer that somebody else has a view of, in this call or the next.
            if name not in self._lasting:
                frame.host[name] = value
        elif isinstance(value, np.ndarray):
            value = numpy_to_torch(value if _torch_can_view(value) else np.ascontiguousarray(value))
        return value if value.is_cpu else value.cpu()


def import_tensor(engine: Engine, target: Target, report: Report, value: Any) -> Any:
    """An engine's handle of a tensor, which is made dense first where it is not."""
    if isinstance(value, np.ndarray):
        dense = aligned(value)
        report.copies += dense is not value
        return engine.from_tensor(dense, target)
    if not value.is_contiguous():
        value = value.contiguous()
        report.copies += 1
    elif value.data_ptr() % ALIGNMENT:
        value = value.clone()
        report.copies += 1
    elif value.is_cpu and not value.is_conj() and not value.is_neg():
        return engine.from_known(value, target)
    return engine.from_tensor(value, target)


def read_scalar(context: Context, frame: Frame, name: str) -> Any:
    """A symbolic scalar: as a node computed it, else from the symbols."""
    if name in frame.host:
        return frame.host[name]
    if name in frame.handles:
        return context.to_numpy(frame.handles[name]).item()
    type_ = context.graph.values[name]
    assert isinstance(type_, SymType), f"value {name} was not computed"
    return evaluate(type_.value, frame.symbols)


def _torch_can_view(array: np.ndarray) -> bool:
    return all(step >= 0 and step % array.itemsize == 0 for step in array.strides)


def _with_strides(tensor: Any, type_: TensorType, symbols: Mapping[str, Scalar]) -> Any:
    """The tensor with the strides of its type, if they are others than row-major."""
    import torch

    strides = tuple(int(evaluate(step, symbols)) for step in type_.strides)
    sizes = tuple(tensor.shape)
    if strides == contiguous_strides(sizes) or 0 in sizes:
        return tensor
    options = {"dtype": tensor.dtype, "device": tensor.device}
    if not _shares_places(sizes, strides):
        return torch.empty_strided(sizes, strides, **options).copy_(tensor)
    # Elements in one place are equal; torch does not copy to such a tensor.
    steps = [torch.arange(size) * step for size, step in zip(sizes, strides, strict=True)]
    places = torch.stack(torch.meshgrid(steps, indexing="ij")).sum(0)
    memory = torch.empty(int(places.max()) + 1, **options)
    memory[places.to(tensor.device)] = tensor
    return memory.as_strided(sizes, strides)


def _shares_places(sizes: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether elements may lie in one place, as those of an expanded tensor do."""
    reach = 0
    for step, size in sorted(zip(strides, sizes, strict=True)):
        if size > 1 and step <= reach:
            return True
        reach += (size - 1) * step
    return False
