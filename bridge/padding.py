"""From buckets to the padding of each segment: proved, or as the caller states."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from bridge.buckets import Buckets, axis_name
from bridge.errors import UsageError
from bridge.planned import Planned
from lowering.ir.batch_axes import BatchAxes, Mixing, RowAxis
from lowering.ir.dynamic_module import DynamicModule, DynamicPort
from lowering.ir.plan import Placement, Plan, Segment
from lowering.ir.program import BUFFER_WRITES, Program
from lowering.ir.symbols import Expr, Symbol, SymbolError, evaluate, free_symbols
from lowering.ir.text import described
from lowering.ir.types import SymType
from lowering.targets.packages import needs
from runtime.padding import PaddedSymbol, SegmentPadding


class Axis(NamedTuple):
    """A dynamic axis of the inputs. `problem`: why it is not proved to be a batch axis; empty if it is."""

    name: str
    symbol: str
    problem: str


def batch_axes(lowered: Planned) -> list[Axis]:
    """Whether each dynamic axis of a program is proved to be a batch axis, in all segments on StableHLO.

    Raises UsageError where that cannot be told without jax.
    """
    found: list[Axis] = []
    for symbol in lowered.example_sizes:
        proofs = [
            _proof(lowered, lowered.plan, segment, symbol)[1]
            for segment in _segments(lowered, lowered.plan, symbol)
        ]
        problems = [_reason(lowered, proof) for proof in proofs if isinstance(proof, Mixing)]
        if not proofs:
            problems = ["no segment on StableHLO depends on it"]
        found.append(Axis(axis_name(lowered.program, symbol), symbol, problems[0] if problems else ""))
    return found


def paddings(lowered: Planned, plan: Plan, buckets: Mapping[str, Buckets]) -> dict[int, SegmentPadding]:
    """The padding of each segment on StableHLO, by its index.

    Raises UsageError for an axis that is neither proved nor stated, for one that cannot be stated, and for
    sizes that the program does not allow.
    """
    symbols: dict[int, dict[str, PaddedSymbol]] = {}
    modules: dict[int, DynamicModule] = {}
    for symbol, entry in buckets.items():
        _check_sizes(lowered, symbol, entry)
        for segment in _segments(lowered, plan, symbol):
            module, axes = _proof(lowered, plan, segment, symbol)
            if entry.fill is not None:
                module, axes = module, _stated(lowered, plan, module, symbol)
            if isinstance(axes, Mixing) or module is None:
                assert isinstance(axes, Mixing)
                why = (
                    "" if entry.fill is not None else "; bridge.Buckets with a fill states it without a proof"
                )
                name = axis_name(lowered.program, symbol)
                raise UsageError(f"{name} cannot be padded: {_reason(lowered, axes)}{why}")
            modules[segment.index] = module
            symbols.setdefault(segment.index, {})[symbol] = PaddedSymbol(entry.sizes, axes, entry.fill or {})
    return {index: SegmentPadding(padded, modules[index]) for index, padded in symbols.items()}


def _segments(lowered: Planned, plan: Plan, symbol: str) -> Iterator[Segment]:
    """The segments on StableHLO that depend on a symbol."""
    for segment in plan.segments:
        if segment.placement is Placement.STABLEHLO and symbol in lowered.symbols(segment):
            yield segment


def _proof(
    lowered: Planned, plan: Plan, segment: Segment, symbol: str
) -> tuple[DynamicModule | None, BatchAxes | Mixing]:
    try:
        module = lowered.with_batch_axes(plan, segment)
    except ModuleNotFoundError as error:
        raise UsageError(f"to look for batch axes {needs(error)}") from error
    if isinstance(module, str):
        return None, Mixing(f"segment {segment.index} has no module for all sizes: {module}")
    for name in segment.inputs:
        type_ = lowered.functional.graph.values[name]
        if (
            isinstance(type_, SymType)
            and isinstance(type_.value, Expr)
            and symbol in free_symbols(type_.value)
        ):
            return module, Mixing(f"segment {segment.index} takes {name}, a number that depends on it")
    return module, module.batch_axes.get(symbol, Mixing("nothing was proved"))


def _reason(lowered: Planned, mixing: Mixing) -> str:
    node = next((node for node in lowered.functional.graph.nodes if node.name == mixing.node), None)
    return f"{described(node)} {mixing.reason}" if node is not None else mixing.reason


def _stated(lowered: Planned, plan: Plan, module: DynamicModule | None, symbol: str) -> BatchAxes | Mixing:
    """The axes of a symbol that the caller states: all that have it as their size."""
    if module is None or len(plan.segments) > 1:
        return Mixing("a statement is for programs that are one segment, with a module for all sizes")
    if any(spec.kind in BUFFER_WRITES for spec in lowered.functional.signature.outputs):
        return Mixing("a statement is for programs that write no buffer")
    inputs: dict[str, tuple[int, ...]] = {}
    outputs: dict[str, tuple[RowAxis, ...]] = {}
    for port in (*module.inputs, *module.outputs):
        others = [size for size in port.sizes if size != Symbol(symbol) and symbol in free_symbols(size)]
        if others or port.symbol == symbol:
            return Mixing(f"{port.name} has a size of {others[0] if others else symbol}, which cannot be cut")
    inputs = {port.name: axes for port in module.inputs if (axes := _axes(port, symbol))}
    outputs = {
        port.name: tuple(map(RowAxis, axes)) for port in module.outputs if (axes := _axes(port, symbol))
    }
    return BatchAxes(inputs, outputs)


def _axes(port: DynamicPort, symbol: str) -> tuple[int, ...]:
    return tuple(axis for axis, size in enumerate(port.sizes) if size == Symbol(symbol))


def _check_sizes(lowered: Planned, symbol: str, buckets: Buckets) -> None:
    """Raise UsageError for sizes that the program's guards refuse, or tie to other sizes."""
    name = axis_name(lowered.program, symbol)
    for condition in _conditions(lowered.functional):
        symbols = free_symbols(condition)
        if symbol not in symbols:
            continue
        if symbols != {symbol}:
            raise UsageError(f"{name} cannot be padded: the program ties it to other sizes ({condition})")
        for size in buckets.sizes:
            if not _holds(condition, symbol, size):
                raise UsageError(f"{name} cannot be padded to {size}: the program requires {condition}")


def _conditions(program: Program) -> list[Expr]:
    from lowering.stablehlo.admitted import conditions

    return [condition for condition in conditions(program) if isinstance(condition, Expr)]


def _holds(condition: Expr, symbol: str, size: int) -> bool:
    try:
        return bool(evaluate(condition, {symbol: size}))
    except SymbolError:
        return False
