"""The pass that looks for batch axes in a module for all sizes, and proves them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from lowering.ir.batch_axes import BatchAxes, Mixing, RowAxis
from lowering.ir.dynamic_module import DynamicModule, DynamicPort
from lowering.ir.symbols import Dim, Symbol, free_symbols
from lowering.passes.pipeline import Pass
from lowering.stablehlo import hlo
from lowering.stablehlo.hlo import ir
from lowering.stablehlo.recovered_sizes import RecoveredSizes, interface
from lowering.stablehlo.rows import contractions, lookups, regions, shapes
from lowering.stablehlo.rows.flow import Flow, Rule
from lowering.stablehlo.rows.states import SAME, Batch, Layout, Mixed, MixedRows, Rows, State
from lowering.stablehlo.symbolic import Assumptions, Specialised, term

RULES: dict[str, Rule] = {**shapes.RULES, **contractions.RULES, **lookups.RULES, **regions.RULES}

_NUMBER = Mixed("computes with the batch size as a number")


def with_batch_axes(module: DynamicModule) -> DynamicModule:
    """The module with, by symbol, its batch axes or the reason why that symbol has none."""
    found = {symbol: _found(module, symbol) for symbol in module.ranges}
    return replace(module, batch_axes=found)


def _found(module: DynamicModule, symbol: str) -> BatchAxes | Mixing:
    example = {name: int(low or high or 1) for name, (low, high) in module.ranges.items()}
    assumptions = Assumptions(module.ranges, example)
    source = interface(module, assumptions)
    symbols = [None if port.symbol is None else Symbol(port.symbol) for port in module.inputs]
    numbers = [None if name is None else assumptions.size(name) for name in symbols]
    with hlo.make_context() as context, ir.Location.unknown():
        parsed = hlo.deserialize(module.code, context)
        entry = hlo.main_of(parsed).entry_block
        sizes = RecoveredSizes(entry, source.inputs, numbers, assumptions)
        try:
            sizes.stamp_all()
            flow = Flow(Batch(symbol, assumptions), sizes, RULES)
            given = [_argument(port, symbol) for port in module.inputs]
            for argument, state in zip(entry.arguments, given, strict=True):
                flow.set(argument, state)
            results = flow.run(entry)
        except Specialised as error:
            return Mixing(f"its sizes are not understood: {error}")
        asked = next((condition for condition in assumptions.guards), None)
        if asked is not None:
            return Mixing(f"its sizes are not understood: nothing tells whether {asked}")
        return _axes(module, flow.batch, given, results)


def _argument(port: DynamicPort, symbol: str) -> State:
    if port.symbol == symbol:
        return _NUMBER
    axes = [axis for axis, size in enumerate(port.sizes) if symbol in free_symbols(size)]
    if not axes:
        return SAME
    if len(axes) > 1 or port.sizes[axes[0]] != Symbol(symbol):
        shown = ", ".join(map(str, port.sizes))
        return Mixed(f"its input {port.name} of sizes [{shown}] does not have it as the size of one axis")
    return Rows(axes[0])


def _axes(
    module: DynamicModule, batch: Batch, given: Iterable[State], results: Iterable[State]
) -> BatchAxes | Mixing:
    outputs: dict[str, tuple[RowAxis, ...]] = {}
    for port, state in zip(module.outputs, results, strict=True):
        if isinstance(state, Mixed):
            return Mixing(state.reason, state.node)
        if isinstance(state, Rows):
            try:
                outputs[port.name] = (_row_axis(batch, state, port.sizes[state.axis]),)
            except MixedRows as error:
                return Mixing(f"its result {port.name} {error}")
    inputs = {
        port.name: (state.axis,)
        for port, state in zip(module.inputs, given, strict=True)
        if isinstance(state, Rows)
    }
    if not inputs:
        return Mixing("no input has it as the size of an axis")
    return BatchAxes(inputs, outputs)


def _row_axis(batch: Batch, state: Rows, size: Dim) -> RowAxis:
    """Where the rows of a result lie. Raises MixedRows where they lie apart."""
    layout = state.layout or Layout(1, batch.per_row(batch.size_of(size)))
    if not batch.equal(layout.outer, 1):
        raise MixedRows("has rows that lie apart")
    return RowAxis(state.axis, term(layout.inner))


PROVE_BATCH_AXES = Pass(
    "prove-batch-axes",
    with_batch_axes,
    "Prove of which symbols a module may be run at a larger size and its results cut.",
)
