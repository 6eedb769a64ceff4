"""The memory that a call needs: of its arguments, results and weights, and what is made and dropped on the
way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bridge.compilation import compiled_segments
from bridge.configuration import ATEN, AUTO, Configuration
from bridge.dispatch import check_engine
from bridge.errors import UsageError
from bridge.planned import Planned
from lowering.ir.errors import EngineError
from lowering.ir.liveness import Work, bytes_of, peak, results, works
from lowering.ir.plan import Placement, Plan
from lowering.ir.program import InputKind, Node
from lowering.ir.unbacked import typical_sizes
from lowering.targets.target import Built, Weighing


@dataclass(frozen=True, slots=True)
class CallMemory:
    """Bytes that a call needs, at `sizes` of the symbols.

    `arguments`, `results`: of tensors; results include new values of buffers and inputs. `weights`: tied ones
    once. `temporary`: of values that are made and dropped, the most at a time. `engine`: empty for the IR
    itself, each result of a node in memory. `untold`: segments of which the engine does not tell; the IR's
    figure is in their place. `is_exact`: whether engines told the temporary memory of all segments.
    """

    engine: str
    arguments: int
    results: int
    weights: int
    temporary: int
    sizes: Mapping[str, int]
    is_exact: bool
    untold: tuple[int, ...] = ()

    def json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def memory_of(lowered: Planned, engine: str = "", device: str = "cpu") -> CallMemory:
    """The memory of a call at the example sizes. Without an engine nothing is compiled: the bound of the IR.

    An engine compiles the segments whose binaries are not at hand. ATen has the live tensors of the program,
    without the work space of single operators. Raises UsageError, EngineError.
    """
    if not engine:
        return _in_order(lowered, "", lowered.functional.graph.nodes)
    check_engine(engine, device)
    if engine == ATEN or lowered.not_functional:
        return _in_order(lowered, ATEN, lowered.functional.graph.nodes)
    plan, built = compiled_segments(lowered, _configuration(lowered, engine), device)
    return _of_plan(lowered, engine, plan, built)


def known_memory(lowered: Planned) -> list[CallMemory]:
    """The same for each engine whose binaries are at hand for every segment; nothing is compiled."""
    named = dict.fromkeys(binary.engine for binary in lowered.binaries.values())
    found: list[CallMemory] = []
    for engine in (*named, *([AUTO] if lowered.tuning is not None else ())):
        device = next((b.device for b in lowered.binaries.values() if b.engine == engine), "cpu")
        try:
            plan, built = compiled_segments(lowered, _configuration(lowered, engine), device, only_kept=True)
            memory = _of_plan(lowered, engine, plan, built)
        except EngineError:  # it is not installed here, or its device is not
            continue
        if built and len(built) == len([s for s in plan.segments if s.placement is not Placement.ATEN]):
            found.append(memory)
    return found


def _configuration(lowered: Planned, engine: str) -> Configuration:
    if engine != AUTO:
        return Configuration(engine)
    if lowered.tuning is None:
        raise UsageError(f"nothing was measured for {AUTO} yet: compile it for {AUTO} first")
    return lowered.tuning.configuration


def _in_order(lowered: Planned, engine: str, nodes: Sequence[Node]) -> CallMemory:
    """With every node on its own."""
    graph, sizes = lowered.functional.graph, _sizes(lowered)
    return _memory(lowered, engine, list(works(nodes, graph, sizes)), False, ())


def _of_plan(lowered: Planned, engine: str, plan: Plan, built: Mapping[int, Built]) -> CallMemory:
    graph, sizes = lowered.functional.graph, _sizes(lowered)
    nodes = {node.name: node for node in graph.nodes}
    parts: list[Work] = []
    untold: list[int] = []
    on_host = False
    for segment in plan.segments:
        told = _told(built[segment.index]) if segment.index in built else None
        if told is not None:
            parts.append(Work(segment.inputs, segment.outputs, nbytes=told))
            continue
        parts += works([nodes[name] for name in segment.nodes], graph, sizes)
        on_host |= segment.placement is Placement.ATEN
        if segment.placement is not Placement.ATEN:
            untold.append(segment.index)
    return _memory(lowered, engine, parts, not untold and not on_host, tuple(untold))


def _told(built: Built) -> int | None:
    """The bytes that an engine tells of a segment, its check before the call included."""
    if not isinstance(built.engine, Weighing):
        return None
    binaries = (built.binary, built.preflight) if built.preflight else (built.binary,)
    told = [built.engine.temporary(binary, built.target) for binary in binaries]
    return None if told[0] is None else max(one or 0 for one in told)


def _memory(
    lowered: Planned, engine: str, parts: Sequence[Work], is_exact: bool, untold: tuple[int, ...]
) -> CallMemory:
    program, sizes = lowered.functional, _sizes(lowered)
    given = [spec.name for spec in program.signature.inputs if spec.kind is InputKind.USER]
    return CallMemory(
        engine,
        sum(bytes_of(program.graph.values.get(name), sizes) for name in given),
        results(program.graph, parts, sizes),
        sum(storage.nbytes for storage in lowered.weights.storages.values()),
        peak(program.graph, parts, sizes),
        sizes,
        is_exact,
        untold,
    )


def _sizes(lowered: Planned) -> Mapping[str, int]:
    """Of the example; typical ones where only the data gives them."""
    return {**typical_sizes(lowered.functional), **lowered.example_sizes}
