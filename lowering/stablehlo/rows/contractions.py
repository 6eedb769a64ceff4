"""Rules of products, convolutions, factorisations and transforms, over axes other than the batch axis."""

from __future__ import annotations

from typing import Any

from lowering.stablehlo.hlo import ir, stablehlo
from lowering.stablehlo.rows.flow import Flow, Rule
from lowering.stablehlo.rows.states import MixedRows, Rows, State


def _dot_general(flow: Flow, op: Any) -> State:
    numbers = stablehlo.DotDimensionNumbers(op.attributes["dot_dimension_numbers"])
    left, right = (flow.state(operand) for operand in op.operands)
    batching = list(numbers.lhs_batching_dimensions), list(numbers.rhs_batching_dimensions)
    if isinstance(left, Rows) and isinstance(right, Rows):
        if left.axis in batching[0] and right.axis in batching[1]:
            place = batching[0].index(left.axis)
            if place == batching[1].index(right.axis):
                return flow.batch.joined(Rows(place, state.layout, state.alike) for state in (left, right))
        raise MixedRows("multiplies rows by one another")
    contracting = list(numbers.lhs_contracting_dimensions), list(numbers.rhs_contracting_dimensions)
    ranks = [len(flow.shape(operand)) for operand in op.operands]
    free = [
        [axis for axis in range(rank) if axis not in (*shared, *summed)]
        for rank, shared, summed in zip(ranks, batching, contracting, strict=True)
    ]
    side = 0 if isinstance(left, Rows) else 1
    state = flow.rows(op.operands[side])
    if state.axis in contracting[side]:
        raise MixedRows("sums over the rows")
    if state.axis not in free[side]:
        raise MixedRows("multiplies rows by what has none")
    place = len(batching[0]) + free[side].index(state.axis) + (len(free[0]) if side else 0)
    return Rows(place, state.layout, state.alike)


def _convolution(flow: Flow, op: Any) -> State:
    numbers = stablehlo.ConvDimensionNumbers(op.attributes["dimension_numbers"])
    state = flow.rows(op.operands[0])
    if isinstance(flow.state(op.operands[1]), Rows):
        raise MixedRows("has a kernel for each row")
    grouped = ir.IntegerAttr(op.attributes["batch_group_count"]).value != 1
    if grouped or state.axis != numbers.input_batch_dimension:
        raise MixedRows("has a window over the rows")
    return Rows(numbers.output_batch_dimension, state.layout, state.alike)


def _matrices(flow: Flow, op: Any) -> State:
    """Of each matrix by itself; the last two axes are a matrix."""
    return _batched(flow, op, 2)


def _fft(flow: Flow, op: Any) -> State:
    return _batched(flow, op, len(list(op.opview.fft_length)))


def _batched(flow: Flow, op: Any, own: int) -> State:
    state = flow.batch.joined(flow.rows(operand) for operand in op.operands)
    ranks = [len(flow.shape(operand)) for operand in op.operands]
    if isinstance(state, Rows) and state.axis >= min(ranks) - own:
        raise MixedRows("computes with all rows")
    return state


RULES: dict[str, Rule] = {
    "cholesky": _matrices,
    "convolution": _convolution,
    "dot_general": _dot_general,
    "fft": _fft,
    "triangular_solve": _matrices,
}
