"""Rules of operations with regions: reductions, windows, sorts, loops and branches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lowering.stablehlo.hlo import ir
from lowering.stablehlo.rows.flow import Flow, Rule, node_of
from lowering.stablehlo.rows.states import SAME, Mixed, MixedRows, Rows, Same, State

# Of a row that comes twice they give what they give of the row: repeated rows change nothing.
_IDEMPOTENT = frozenset({"stablehlo.and", "stablehlo.maximum", "stablehlo.minimum", "stablehlo.or"})


def _reduce(flow: Flow, op: Any) -> State | Sequence[State]:
    count = len(op.results)
    state = flow.elementwise(op.operands[:count])
    if not isinstance(state, Rows) or not _all_same(flow, op.operands[count:]):
        raise MixedRows("begins a sum with rows")
    gone = sorted(op.opview.dimensions)
    if state.axis not in gone:
        axis = state.axis - sum(other < state.axis for other in gone)
        return [Rows(axis, state.layout, state.alike)] * count
    inner = list(op.regions[0].blocks[0].operations)
    if count == 1 and len(inner) == 2 and inner[0].operation.name in _IDEMPOTENT:
        if state.alike:
            return SAME
        raise MixedRows("reduces the rows, whose numbers it has seen")
    sums = len(inner) == 2 and inner[0].operation.name == "stablehlo.add"
    raise MixedRows("sums over the rows" if sums else "reduces all rows together")


def _windows(flow: Flow, op: Any) -> list[State]:
    count = len(op.results)
    state = flow.elementwise(op.operands[:count])
    if not isinstance(state, Rows) or not _all_same(flow, op.operands[count:]):
        raise MixedRows("begins a sum with rows")
    view, axis = op.opview, state.axis
    names = ("window_dimensions", "window_strides", "base_dilations", "window_dilations")
    given = [getattr(view, name) for name in names]
    steps = [1 if part is None else list(part)[axis] for part in given]
    padding = (
        [] if view.padding is None else [int(number) for number in ir.DenseIntElementsAttr(view.padding)]
    )
    if any(step != 1 for step in steps) or any(padding[2 * axis : 2 * axis + 2]):
        raise MixedRows("has a window over the rows")
    return [state] * count


def _sort(flow: Flow, op: Any) -> list[State]:
    state = flow.elementwise(op.operands)
    if isinstance(state, Rows) and state.axis == ir.IntegerAttr(op.attributes["dimension"]).value:
        raise MixedRows("sorts the rows")
    return [state] * len(op.results)


def _while(flow: Flow, op: Any) -> list[State]:
    states = [flow.state(operand) for operand in op.operands]
    condition, body = (region.blocks[0] for region in op.regions)
    while True:
        for block in (condition, body):
            for argument, state in zip(block.arguments, states, strict=True):
                flow.set(argument, state)
        _require_same(flow.run(condition)[0], op, "runs a loop until the rows say so")
        shapes = [flow.shape(operand) for operand in op.operands]
        after = [
            _either(flow, a, b, shape, node_of(op))
            for a, b, shape in zip(states, flow.run(body), shapes, strict=True)
        ]
        if after == states:
            return states
        states = after


def _branches(flow: Flow, op: Any) -> list[State]:
    _require_same(flow.state(op.operands[0]), op, "takes a branch that the rows choose")
    found = [flow.run(region.blocks[0]) for region in op.regions]
    shapes = [flow.shape(result) for result in op.results]
    states = found[0]
    for others in found[1:]:
        states = [
            _either(flow, a, b, shape, node_of(op))
            for a, b, shape in zip(states, others, shapes, strict=True)
        ]
    return states


def _require_same(state: State, op: Any, why: str) -> None:
    """Raise MixedRows for a condition that rows decide."""
    if isinstance(state, Mixed):
        raise MixedRows(f"{why}: {state.reason}")
    if isinstance(state, Rows):
        raise MixedRows(why)


def _either(flow: Flow, left: State, right: State, shape: Sequence[int], node: str) -> State:
    """The state of a value that is one or the other."""
    mixed = next((state for state in (left, right) if isinstance(state, Mixed)), None)
    if mixed is not None:
        return mixed
    try:
        found = flow.batch.joined((left, right))
    except MixedRows as error:
        return Mixed(str(error), node)
    fits = flow.batch.fits(found, shape)
    return found if fits else Mixed("gives rows in one case and none in another", node)


def _all_same(flow: Flow, values: Sequence[ir.Value]) -> bool:
    return all(isinstance(flow.state(value), Same) for value in values)


RULES: dict[str, Rule] = {
    "case": _branches,
    "if": _branches,
    "reduce": _reduce,
    "reduce_window": _windows,
    "sort": _sort,
    "while": _while,
}
