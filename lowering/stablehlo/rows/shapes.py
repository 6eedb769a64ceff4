"""Rules of operations that work by element, or that put elements elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lowering.stablehlo.hlo import ir
from lowering.stablehlo.rows.flow import Flow, Rule
from lowering.stablehlo.rows.states import SAME, Layout, MixedRows, Rows, Same, State
from lowering.stablehlo.symbolic import is_symbolic


def _elementwise(flow: Flow, op: Any) -> State:
    return flow.elementwise(op.operands)


def _each(flow: Flow, op: Any) -> list[State]:
    return [flow.state(operand) for operand in op.operands]


def _bits(flow: Flow, op: Any) -> State:
    """Elements of another width share the last axis."""
    state = flow.state(op.operands[0])
    if isinstance(state, Rows) and len(flow.shape(op.operands[0])) != len(flow.shape(op.results[0])):
        ranks = len(flow.shape(op.operands[0])), len(flow.shape(op.results[0]))
        if state.axis >= min(ranks):
            raise MixedRows("takes the bits of the batch axis")
    return state


def _size(flow: Flow, op: Any) -> State:
    axis = ir.IntegerAttr(op.attributes["dimension"]).value
    if flow.batch.sizes(flow.shape(op.operands[0])[axis]):
        raise MixedRows("computes with the batch size as a number")
    return SAME


def _iota(flow: Flow, op: Any) -> State:
    shape = flow.shape(op.results[0])
    spread = _spread(flow, shape)
    assert isinstance(spread, Rows)
    axis = spread.axis
    if ir.IntegerAttr(op.attributes["iota_dimension"]).value != axis:
        return spread
    return Rows(axis, Layout(1, flow.batch.per_row(shape[axis])), alike=False)


def _broadcast(flow: Flow, op: Any) -> State:
    state, shape = flow.state(op.operands[0]), flow.shape(op.results[0])
    if isinstance(state, Rows):
        axis = list(op.opview.broadcast_dimensions)[state.axis]
        if not flow.batch.equal(shape[axis], flow.shape(op.operands[0])[state.axis]):
            raise MixedRows("repeats rows")
        return Rows(axis, state.layout, state.alike)
    spread = _spread(flow, shape)
    for at, size in zip(op.opview.broadcast_dimensions, flow.shape(op.operands[0]), strict=True):
        if isinstance(spread, Rows) and at == spread.axis and (is_symbolic(size) or size != 1):
            raise MixedRows("takes another axis for the batch axis")
    return spread


def _spread(flow: Flow, shape: Sequence[int]) -> State:
    """A value that is the same in each row."""
    axes = flow.batch.axes(shape)
    if len(axes) > 1:
        raise MixedRows("makes a tensor with several axes of the batch size")
    return Rows(axes[0], None) if axes else SAME


def _reshape(flow: Flow, op: Any) -> State:
    return reshaped(flow, flow.rows(op.operands[0]), flow.shape(op.operands[0]), flow.shape(op.results[0]))


def reshaped(flow: Flow, state: Rows, before: Sequence[int], after: Sequence[int]) -> State:
    """The rows of a tensor after a reshape. Raises MixedRows."""
    batch, axis = flow.batch, state.axis
    layout = state.layout or Layout(1, batch.per_row(before[axis]))
    outer, inner = product(before[:axis]) * layout.outer, layout.inner * product(before[axis + 1 :])
    for at in batch.axes(after):
        ahead, behind = product(after[:at]), product(after[at + 1 :])
        if batch.sizes(ahead) or batch.sizes(behind):
            continue
        stays = batch.equal(ahead, product(before[:axis])) and batch.equal(
            behind, product(before[axis + 1 :])
        )
        if state.layout is None and stays:
            return Rows(at, None, state.alike)
        parts = batch.quotient(outer, ahead), batch.quotient(inner, behind)
        if parts[0] is not None and parts[1] is not None:
            return Rows(at, Layout(parts[0], parts[1]), state.alike)
    raise MixedRows("reshapes rows into one another")


def product(sizes: Sequence[int]) -> int:
    """The product of sizes."""
    result = 1
    for size in sizes:
        result = result * size
    return result


def _transpose(flow: Flow, op: Any) -> State:
    state = flow.rows(op.operands[0])
    return Rows(list(op.opview.permutation).index(state.axis), state.layout, state.alike)


def _reverse(flow: Flow, op: Any) -> State:
    state = flow.state(op.operands[0])
    if isinstance(state, Rows) and state.axis in list(op.opview.dimensions):
        raise MixedRows("reverses the order of the rows")
    return state


def _concatenate(flow: Flow, op: Any) -> State:
    axis = ir.IntegerAttr(op.attributes["dimension"]).value
    states = [flow.state(operand) for operand in op.operands]
    rows = [state for state in states if isinstance(state, Rows)]
    if len(rows) < len(states) or len({state.axis for state in rows}) > 1:
        raise MixedRows("joins rows with what has none")
    if rows[0].axis != axis:
        return flow.batch.joined(rows)
    layouts = [state.layout or Layout(1, flow.batch.per_row(flow.shape(operand)[axis]))
               for state, operand in zip(rows, op.operands, strict=True)]  # fmt: skip
    joined = flow.batch.joined(Rows(axis, layout, s.alike) for layout, s in zip(layouts, rows, strict=True))
    assert isinstance(joined, Rows)
    if not flow.batch.equal(layouts[0].outer, 1):
        raise MixedRows("joins rows that lie apart")
    return Rows(axis, Layout(len(rows), layouts[0].inner), joined.alike)


def _slice(flow: Flow, op: Any) -> State:
    if op.name == "stablehlo.slice":
        names = ("start_indices", "limit_indices", "strides")
        parts = [list(getattr(op.opview, name)) for name in names]
    else:
        parts = [flow.numbers(op.operands[at]) for at in (1, 2, 3)]
    if isinstance(flow.state(op.operands[0]), Same):
        return _first(flow, parts, flow.shape(op.results[0]))
    state, shape = flow.rows(op.operands[0]), flow.shape(op.operands[0])
    start, limit, stride = (part[state.axis] for part in parts)
    if flow.batch.equal(start, 0) and flow.batch.equal(limit, shape[state.axis]):
        if flow.batch.equal(stride, 1):
            return state
        raise MixedRows("takes some of the rows")
    return _part(flow, state, shape[state.axis], start, limit, stride)


def _first(flow: Flow, parts: Sequence[Sequence[int]], shape: Sequence[int]) -> State:
    """As many elements of a tensor without rows as the batch has: each has the number of its row."""
    axes = flow.batch.axes(shape)
    if len(axes) != 1 or any(flow.batch.sizes(part[axes[0]]) for part in (parts[0], parts[2])):
        raise MixedRows("takes elements by the batch size")
    return Rows(axes[0], Layout(1, flow.batch.per_row(shape[axes[0]])), alike=False)


def _part(flow: Flow, state: Rows, size: int, start: int, limit: int, stride: int) -> State:
    """A part of the batch axis."""
    batch = flow.batch
    layout = state.layout or Layout(1, batch.per_row(size))
    block = batch.size * layout.inner
    is_block = batch.equal(limit - start, block) and batch.quotient(start, block) is not None
    if is_block and batch.equal(stride, 1):
        # One of the tensors that were joined along the batch axis.
        return Rows(state.axis, Layout(1, layout.inner), state.alike)
    if batch.equal(layout.outer, 1) and not any(map(batch.sizes, (start, limit, stride))):
        return SAME  # The first rows are the same however many follow.
    raise MixedRows("takes some of the rows")


def _pad(flow: Flow, op: Any) -> State:
    if op.name == "stablehlo.pad":
        names = ("edge_padding_low", "edge_padding_high", "interior_padding")
        parts = [list(getattr(op.opview, name)) for name in names]
    else:
        parts = [flow.numbers(op.operands[at]) for at in (2, 3, 4)]
    state = flow.rows(op.operands[0])
    if not isinstance(flow.state(op.operands[1]), Same):
        raise MixedRows("pads with rows")
    if not all(flow.batch.equal(part[state.axis], 0) for part in parts):
        raise MixedRows("adds rows, or takes some away")
    return state


_BY_ELEMENT = """
    abs add and atan2 cbrt ceil clamp compare complex convert cosine count_leading_zeros divide
    exponential exponential_minus_one floor imag is_finite log log_plus_one logistic maximum minimum multiply
    negate not or popcnt power real reduce_precision remainder round_nearest_afz round_nearest_even
    rsqrt select shift_left shift_right_arithmetic shift_right_logical sign sine sqrt subtract tan tanh xor
""".split()

RULES: dict[str, Rule] = {
    **dict.fromkeys(_BY_ELEMENT, _elementwise),
    "bitcast_convert": _bits,
    "broadcast_in_dim": _broadcast,
    "concatenate": _concatenate,
    "dynamic_broadcast_in_dim": _broadcast,
    "dynamic_iota": _iota,
    "dynamic_pad": _pad,
    "dynamic_reshape": _reshape,
    "get_dimension_size": _size,
    "optimization_barrier": _each,
    "pad": _pad,
    "real_dynamic_slice": _slice,
    "reshape": _reshape,
    "reverse": _reverse,
    "slice": _slice,
    "transpose": _transpose,
}
