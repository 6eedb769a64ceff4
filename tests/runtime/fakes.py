"""Programs written by hand, and an engine that runs segments with ATen over numpy copies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bridge.compiled.compiled import Compiled
from lowering.host.tensors import aligned_copy, dtype_of, numpy_to_torch, torch_to_numpy
from lowering.ir.errors import EngineError
from lowering.ir.module import Module, Port
from lowering.ir.plan import Placement, Plan, Segment
from lowering.ir.program import (
    Argument,
    Graph,
    InputKind,
    InputSpec,
    Node,
    OutputKind,
    OutputSpec,
    Program,
    Ref,
    Signature,
)
from lowering.ir.symbols import Symbol, evaluate
from lowering.ir.tree import LEAF, TreeSpec
from lowering.ir.types import DType, SymType, TensorType, ValueType, contiguous
from lowering.ir.unbacked import is_number, sizing
from lowering.ir.weights import Storage, Weights, WeightView
from lowering.stablehlo.passes import StableHloPipeline, stablehlo_pipeline
from lowering.targets.aten.routine import Routine
from lowering.targets.target import Built, BuiltDynamic, TargetOptions
from runtime.bound_weights import BoundWeights
from runtime.executor import Executor

F32 = DType.FLOAT32
N = Symbol("s0")


def tensor(*sizes: Any, dtype: DType = F32) -> TensorType:
    """The type of a row-major tensor; sizes may be symbolic, and then the strides are not looked at."""
    if all(isinstance(size, int) for size in sizes):
        return contiguous(dtype, sizes)
    return TensorType(dtype, sizes, tuple(1 for _ in sizes))


def node(
    target: str, outputs: str | tuple[Any, ...], *args: Any, functional: bool = False, **named: Any
) -> Node:
    """A node named like its first output; strings with a `%` are values."""
    names = (outputs,) if isinstance(outputs, str) else outputs
    given = [Argument("", value(arg)) for arg in args]
    given += [Argument(name, value(arg)) for name, arg in named.items()]
    first = next((name for name in names if isinstance(name, str)), target.replace(".", "_"))
    return Node(first, target, tuple(given), names, functional=functional)


def value(arg: Any) -> Any:
    if isinstance(arg, (list, tuple)):
        return tuple(value(item) for item in arg)
    return Ref(arg[1:]) if isinstance(arg, str) and arg.startswith("%") else arg


def tree(*children: TreeSpec, names: Sequence[str] | None = None) -> TreeSpec:
    """A tuple, or with names a dict."""
    if names is None:
        return TreeSpec("builtins.tuple", "null", children)
    return TreeSpec("builtins.dict", json.dumps(list(names)), children)


def program(
    inputs: Mapping[str, Any],
    nodes: Sequence[Node],
    outputs: Sequence[Any],
    types: Mapping[str, ValueType] | None = None,
    *,
    buffers: Mapping[str, TensorType] | None = None,
    writes: Mapping[str, str] | None = None,
    in_spec: TreeSpec | None = None,
    out_spec: TreeSpec | None = None,
    names: Sequence[str] | None = None,
    **rest: Any,
) -> Program:
    """`inputs`: types, or literals; `buffers`: weights by full name; `writes`: buffer or input -> value."""
    buffers, writes = buffers or {}, writes or {}
    specs = [InputSpec(InputKind.BUFFER, "b_" + name, name) for name in buffers]
    values: dict[str, ValueType] = {"b_" + name: type_ for name, type_ in buffers.items()}
    graph_inputs: list[Any] = [Ref(spec.name) for spec in specs]
    for name, type_ in inputs.items():
        if isinstance(type_, (TensorType, SymType)):
            values[name] = type_
            specs.append(InputSpec(InputKind.USER, name))
            graph_inputs.append(Ref(name))
        else:
            specs.append(InputSpec(InputKind.LITERAL, name, literal=type_))
            graph_inputs.append(type_)
    values.update(types or {})
    results = [OutputSpec(OutputKind.USER, value(output)) for output in outputs]
    for target, name in writes.items():
        kind = OutputKind.BUFFER_MUTATION if target in buffers else OutputKind.INPUT_MUTATION
        results.append(OutputSpec(kind, Ref(name), target))
    signature = Signature(
        tuple(specs),
        tuple(results),
        in_spec or tree(tree(*[LEAF] * len(inputs)), tree(names=[])),
        out_spec or (LEAF if len(outputs) == 1 else tree(*[LEAF] * len(outputs))),
        tuple(names if names is not None else inputs),
    )
    graph = Graph(tuple(graph_inputs), tuple(result.value for result in results), tuple(nodes), values)
    return Program(graph, signature, **rest)


def weights(**arrays: np.ndarray) -> Weights:
    """Weights over read-only arrays, each a storage of its own."""
    storages, views = {}, {}
    for name, array in arrays.items():
        raw = aligned_copy(array.reshape(-1).view(np.uint8))
        raw.flags.writeable = False
        storages[name] = Storage(raw.nbytes, lambda raw=raw: raw)
        strides = tuple(step // array.itemsize for step in np.empty(array.shape, array.dtype).strides)
        views[name] = WeightView(name, dtype_of(array), array.shape, strides)
    return Weights(storages, views)


def plan(program: Program, *placements: tuple[Placement, Sequence[str]]) -> Plan:
    """Segments of these nodes, their inputs and outputs worked out."""
    nodes = {item.name: item for item in program.graph.nodes}
    wanted = {spec.value.name for spec in program.signature.outputs if isinstance(spec.value, Ref)}
    segments = []
    for index, (placement, names) in enumerate(placements):
        members = [nodes[name] for name in names]
        made = [result for member in members for result in member.results()]
        read = dict.fromkeys(ref for member in members for ref in member.refs() if ref not in made)
        later = {ref for n in nodes.values() if n.name not in names for ref in n.refs()} | wanted
        outputs = tuple(name for name in made if name in later)
        segments.append(Segment(index, placement, tuple(names), tuple(read), outputs))
    return Plan(tuple(segments))


class FakeEngine:
    """Handles are numpy arrays of the engine's own. `loads` and `calls` count; `refuse` makes it fail."""

    name = "fake"
    handle = np.ndarray

    def __init__(self, program: Program, plan: Plan) -> None:
        self.program = program
        self.plan = plan
        self.loads: list[dict[str, Any]] = []
        self.calls = 0
        self.refuse: Any = None
        self.fail = False
        self.bound: list[dict[str, np.ndarray]] = []

    def specialise(self, segment: Segment, sizes: Mapping[str, Any]) -> Built:
        if self.refuse is not None and self.refuse(segment, sizes):
            raise EngineError("the engine refuses this segment")
        self.loads.append(dict(sizes))
        stored = {
            s.name: s.fqn
            for s in self.program.signature.inputs
            if s.fqn
            and s.kind is not InputKind.ADAPTER
            and s.fqn not in {o.destination for o in self.program.signature.outputs}
        }

        def port(name: str) -> Port:
            type_ = self.program.graph.values[name]
            if isinstance(type_, SymType):
                return Port(name, type_.kind.element, ())
            assert isinstance(type_, TensorType)
            concrete = tuple(int(evaluate(size, sizes)) for size in type_.sizes)
            return Port(name, type_.dtype, concrete, stored.get(name))

        graph, of_sizes = self.program.graph, sizing(self.program.graph)

        def passed(name: str) -> bool:
            return isinstance(graph.values[name], TensorType) or is_number(graph, name, of_sizes)

        names, outputs = filter(passed, segment.inputs), filter(passed, segment.outputs)
        module = Module(b"", tuple(map(port, names)), tuple(map(port, outputs)))
        return Built(module, str(segment.index).encode(), self)

    def version(self) -> str:
        return "1"

    def flags(self, target: TargetOptions) -> tuple[str, ...]:
        return ()

    def pipeline(self, target: TargetOptions) -> StableHloPipeline:
        return stablehlo_pipeline("test")

    def compile(self, module: Module, target: TargetOptions) -> bytes:
        return b""

    def load(
        self, binary: bytes, module: Module, target: TargetOptions, weights: Mapping[str, np.ndarray]
    ) -> Any:
        self.bound.append(dict(weights))
        made = {port.name for port in module.outputs}
        members = self.plan.segments[int(binary)].nodes
        nodes = [item for item in self.program.graph.nodes if item.name in members]
        routine = Routine(self.program.graph, nodes, made)
        given = [port.name for port in module.inputs if port.weight is None]
        bound = {p.name: numpy_to_torch(weights[p.weight]) for p in module.inputs if p.weight is not None}
        sizes = self.loads[-1]
        values = self.program.graph.values
        numbers = {name for name in given if isinstance(values[name], SymType)}

        def run(handles: Sequence[np.ndarray]) -> list[np.ndarray]:
            self.calls += 1
            if self.fail:
                raise EngineError("the engine failed")
            for port, handle in zip((p for p in module.inputs if p.weight is None), handles, strict=True):
                assert handle.shape == port.sizes, port.name
                assert dtype_of(handle) is port.dtype, port.name
            env = {**bound, **dict(zip(given, map(numpy_to_torch, handles), strict=True))}
            for name in env.keys() & numbers:
                env[name] = env[name].item()
            routine(env, dict(sizes))
            made = [env[port.name] for port in module.outputs]
            return [aligned_copy(torch_to_numpy(torch.as_tensor(value))) for value in made]

        return run

    def from_tensor(self, tensor: Any, target: TargetOptions) -> np.ndarray:
        array = tensor if isinstance(tensor, np.ndarray) else torch_to_numpy(tensor)
        assert array.flags.c_contiguous
        return array

    def own(self, handle: np.ndarray, target: TargetOptions) -> np.ndarray:
        return handle

    def to_torch(self, handle: np.ndarray) -> torch.Tensor:
        return numpy_to_torch(handle)

    def from_known(self, tensor: Any, target: TargetOptions) -> np.ndarray:
        return self.from_tensor(tensor, target)

    def read(self, handle: np.ndarray, target: TargetOptions) -> bytes:
        return handle.tobytes()

    def to_numpy(self, handle: np.ndarray) -> np.ndarray:
        return handle


class FakeOrigin:
    """`build(segment)` gives the binary for all sizes. `at_hand`: the sizes that need no compiler."""

    def __init__(self, build: Callable[[Segment], BuiltDynamic] | None = None, *at_hand: Any) -> None:
        self.build = build
        self.at_hand = at_hand
        self.saved: list[tuple[int, Mapping[str, Any]]] = []
        self.host_differs = False

    def dynamic(self, segment: Segment) -> BuiltDynamic:
        if self.build is None:
            raise EngineError("it has none")
        return self.build(segment)

    def compile_aside(self, segment: Segment, sizes: Mapping[str, Any]) -> None: ...

    def is_at_hand(self, segment: Segment, sizes: Mapping[str, Any]) -> bool:
        return sizes in self.at_hand

    def symbols(self, sizes: Mapping[str, int]) -> dict[str, int]:
        return {name.replace("x.0", "s0"): size for name, size in sizes.items()}

    def save(self, sizes: Iterable[tuple[int, Mapping[str, Any]]], path: Any) -> Path:
        self.saved = list(sizes)
        return Path(path)


def compiled(
    program: Program,
    *placements: tuple[Placement, Sequence[str]],
    weights: Weights | None = None,
    refuse: Any = None,
    origin: Any = None,
    **rest: Any,
) -> tuple[Compiled, FakeEngine]:
    """The program on the fake engine; without placements, one StableHLO segment of all nodes."""
    everything = [item.name for item in program.graph.nodes]
    made = plan(program, *(placements or ((Placement.STABLEHLO, everything),)))
    engine = FakeEngine(program, made)
    engine.refuse = refuse
    executor = Executor(
        program,
        made,
        BoundWeights(weights or Weights()),
        engine.specialise,
        engine.name,
        origin=origin,
        **rest,
    )
    return Compiled(executor, origin), engine
