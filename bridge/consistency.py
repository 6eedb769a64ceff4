"""Whether the parts of a lowered program fit together, as those of a file that somebody edited may not.

Native code relies on it, and trusts the types that it is told.
"""

from __future__ import annotations

from collections.abc import Iterator

from bridge.buckets import read_buckets
from bridge.errors import UsageError
from bridge.planned import Planned
from lowering.ir.allowed import refused_node
from lowering.ir.module import Module, Port
from lowering.ir.plan import Placement, Segment
from lowering.ir.program import STORED, Program, Ref, all_nodes
from lowering.ir.symbols import evaluate
from lowering.ir.trusting import trusting_calls
from lowering.ir.types import DType, SymType, TensorType
from lowering.ir.updates import donations
from lowering.ir.validate import validate
from lowering.ir.weights import Weights


def check_consistent(lowered: Planned) -> None:
    """Raise ValueError, one sentence, where program, plan, modules and weights do not fit."""
    validate(lowered.program)
    if lowered.functional is not lowered.program:
        validate(lowered.functional)
    complaints = (
        *_weights(lowered.program, lowered.weights),
        *_weights(lowered.functional, lowered.weights),
        *_plan(lowered),
        *_operators(lowered),
        *_modules(lowered),
        *_tuning(lowered),
        *_buckets(lowered),
    )
    if complaints:
        raise ValueError(complaints[0])


def _weights(program: Program, weights: Weights) -> Iterator[str]:
    """Every weight is there, of the type that the program says, inside its storage."""
    for spec in program.signature.inputs:
        if spec.kind not in STORED:
            continue
        view = weights.views.get(spec.fqn or "")
        type_ = program.graph.values.get(spec.name)
        if view is None:
            yield f"the weight {spec.fqn!r} is missing"
        elif not isinstance(type_, TensorType) or (type_.dtype, type_.sizes) != (view.dtype, view.sizes):
            yield f"the weight {spec.fqn!r} is not of the type that the program says"
    for name, view in weights.views.items():
        last = view.offset + sum((n - 1) * step for n, step in zip(view.sizes, view.strides, strict=True))
        if 0 not in view.sizes and (last + 1) * view.dtype.itemsize > weights.storages[view.storage].nbytes:
            yield f"the weight {name!r} reaches past the end of its storage"


def _tuning(lowered: Planned) -> Iterator[str]:
    """A decision is about nodes that exist."""
    nodes = {node.name for node in lowered.functional.graph.nodes}
    for trial in lowered.tuning.trials if lowered.tuning is not None else ():
        for name in (*trial.configuration.others, *trial.configuration.moved):
            if name not in nodes:
                yield f"what was measured is about the node {name!r}, which does not exist"


def _buckets(lowered: Planned) -> Iterator[str]:
    """Buckets are of sizes that the program has, and of elements that its inputs can have."""
    for symbol, buckets in lowered.buckets.items():
        try:
            read_buckets(lowered.program, {symbol: buckets})
        except UsageError as error:
            yield f"its buckets do not fit: {error}"


def _plan(lowered: Planned) -> Iterator[str]:
    """Segments are numbered, made of nodes that exist, once each, and read what was computed before them."""
    graph = lowered.functional.graph
    nodes = {node.name: node for node in graph.nodes}
    made = {item.name for item in graph.inputs if isinstance(item, Ref)}
    made |= {name for name, type_ in graph.values.items() if isinstance(type_, SymType)}
    placed: set[str] = set()
    for position, segment in enumerate(lowered.plan.segments):
        where = f"segment {segment.index} of the plan"
        if segment.index != position:
            yield f"{where} stands at {position}"
        if unknown := [name for name in segment.nodes if name not in nodes or name in placed]:
            yield f"{where} has the node {unknown[0]!r}, which does not exist or has run"
            return
        placed.update(segment.nodes)
        inside = {name for node in segment.nodes for name in nodes[node].results()}
        if early := [name for name in segment.inputs if name not in made]:
            yield f"{where} reads {early[0]!r}, which is not there by then"
        if foreign := [name for name in segment.outputs if name not in inside]:
            yield f"{where} says it makes {foreign[0]!r}, which it does not"
        if segment.placement is Placement.ATEN and any(n not in lowered.plan.reasons for n in segment.nodes):
            yield f"{where} runs on ATen and does not say why"
        made.update(segment.outputs)
    for spec in lowered.functional.signature.outputs:
        if isinstance(spec.value, Ref) and spec.value.name not in made:
            yield f"no segment of the plan makes the output {spec.value.name!r}"


def _operators(lowered: Planned) -> Iterator[str]:
    """ATen runs only what a file may have it run, and no call is one that no file may make."""
    yield from trusting_calls(lowered.program)
    if lowered.functional is not lowered.program:
        yield from trusting_calls(lowered.functional)
    placed = {
        name
        for segment in lowered.plan.segments
        if segment.placement is Placement.ATEN
        for name in segment.nodes
    }
    for node in all_nodes(n for n in lowered.functional.graph.nodes if n.name in placed):
        if (why := refused_node(node)) is not None:
            yield f"node {node.name}: {why}"


def _modules(lowered: Planned) -> Iterator[str]:
    """Each module takes and gives what its segment does, at the example sizes."""
    segments = {s.index: s for s in lowered.plan.segments if s.placement is Placement.STABLEHLO}
    weights = {spec.name: spec.fqn for spec in lowered.functional.signature.inputs}
    for index, module in lowered.modules.items():
        segment = segments.get(index)
        if segment is None:
            yield f"module {index} belongs to no StableHLO segment"
            continue
        outputs = module.outputs
        if module.checks:
            *kept, flags = outputs or (None,)
            outputs = tuple(port for port in kept if port is not None)
            if flags is None or (flags.dtype, flags.sizes) != (DType.BOOL, (len(module.checks),)):
                yield f"module {index} does not say which of its {len(module.checks)} checks failed"
        for ports, names in ((module.inputs, segment.inputs), (outputs, segment.outputs)):
            if tuple(port.name for port in ports) != names:
                yield f"module {index} takes or gives other values than its segment"
            elif wrong := [port.name for port in ports if not _fits(port, lowered)]:
                yield f"module {index} has another type for {wrong[0]!r} than the program"
        yield from _donations(lowered, module, segment)
        for port in module.inputs:
            if port.weight is not None and port.weight != weights.get(port.name):
                yield f"module {index} has the weight {port.weight!r} as {port.name!r}"


def _donations(lowered: Planned, module: Module, segment: Segment) -> Iterator[str]:
    """A module overwrites only buffers that nothing reads any more, after its checks."""
    where = f"module {segment.index}"
    allowed = donations(lowered.functional, lowered.plan, segment)
    if len(set(module.donated)) < len(module.donated) or not set(module.donated) <= set(allowed):
        yield f"{where} overwrites a value that is not a buffer of its own, or is still to be read"
    if (module.preflight is not None) != bool(module.donated and module.checks):
        yield f"{where} overwrites buffers and has no module for its checks before, or has one for nothing"


def _fits(port: Port, lowered: Planned) -> bool:
    type_ = lowered.functional.graph.values.get(port.name)
    if isinstance(type_, SymType):
        return type_.kind.element is port.dtype and not port.sizes
    if not isinstance(type_, TensorType) or type_.dtype is not port.dtype or type_.rank != len(port.sizes):
        return False
    known = lowered.example_sizes
    return all(
        (size if isinstance(size, int) else evaluate(size, known)) == concrete
        for size, concrete in zip(type_.sizes, port.sizes, strict=True)
    )
