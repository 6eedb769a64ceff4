"""Rules of operations that look elements up by their places, or write to places."""

from __future__ import annotations

from typing import Any

from lowering.stablehlo.hlo import ir, stablehlo
from lowering.stablehlo.rows.flow import Flow, Rule
from lowering.stablehlo.rows.numbers import within_row
from lowering.stablehlo.rows.states import Layout, MixedRows, Rows, Same, State

_ACROSS = "looks rows up by their numbers"


def _gather(flow: Flow, op: Any) -> State:
    numbers = stablehlo.GatherDimensionNumbers(op.attributes["dimension_numbers"])
    table, places = (flow.state(operand) for operand in op.operands[:2])
    shape = flow.shape(op.operands[0])
    rank = len(flow.shape(op.results[0]))
    offsets = sorted(numbers.offset_dims)
    if isinstance(places, Rows):
        if places.axis == numbers.index_vector_dim:
            raise MixedRows(_ACROSS)
        before = places.axis - (numbers.index_vector_dim < places.axis)
        axis = [at for at in range(rank) if at not in offsets][before]
        if isinstance(table, Same):
            return Rows(axis, places.layout, places.alike)
        batching = dict(zip(numbers.operand_batching_dims, numbers.start_indices_batching_dims, strict=True))
        if isinstance(table, Rows) and batching.get(table.axis) == places.axis:
            return flow.batch.joined(Rows(axis, state.layout, state.alike) for state in (table, places))
        own = {*numbers.collapsed_slice_dims}
        alike = _own_rows(flow, op, 1, numbers.index_vector_dim, list(numbers.start_index_map), own)
        return Rows(axis, places.layout, alike)
    table = flow.rows(op.operands[0])
    is_constant = op.name == "stablehlo.gather"
    window = list(op.opview.slice_sizes) if is_constant else flow.numbers(op.operands[2])
    dropped = {*numbers.collapsed_slice_dims, *numbers.operand_batching_dims}
    # A place is moved so that the window fits: one over the whole axis begins at its start.
    if table.axis in dropped or not flow.batch.equal(window[table.axis], shape[table.axis]):
        raise MixedRows(_ACROSS)
    kept = [at for at in range(len(shape)) if at not in dropped]
    return Rows(offsets[kept.index(table.axis)], table.layout, table.alike)


def _own_rows(flow: Flow, op: Any, at: int, vector: int, moved: list[int], single: set[int]) -> bool:
    """Whether equal rows of a table and of places give equal elements, where each row takes its own.

    `at`: the number of the operand with the places. `vector`: their axis of one element for each axis
    `moved` of the table, operand 0. `single`: axes of the table of which one element is taken. Raises
    MixedRows.
    """
    table, shape = flow.rows(op.operands[0]), flow.shape(op.operands[0])
    if table.axis not in moved or table.axis not in single:
        raise MixedRows(_ACROSS)
    layout = table.layout or Layout(1, flow.batch.per_row(shape[table.axis]))
    columns = _columns(op.operands[at], vector, len(moved))
    number = columns[moved.index(table.axis)]
    if not flow.batch.equal(layout.outer, 1) or not within_row(flow, flow.known(number), layout.inner):
        raise MixedRows(_ACROSS)
    return table.alike and all(map(flow.is_alike, columns))


def _columns(places: ir.Value, axis: int, count: int) -> list[ir.Value]:
    """The tensors that were joined into places, one for each axis of the table. Raises MixedRows."""
    if count == 1:
        return [places]
    op = places.owner
    if isinstance(op, ir.Block) or op.name != "stablehlo.concatenate" or len(op.operands) != count:
        raise MixedRows(_ACROSS)
    if ir.IntegerAttr(op.attributes["dimension"]).value != axis:
        raise MixedRows(_ACROSS)
    return list(op.operands)


def _select_rows(flow: Flow, op: Any) -> State:
    """`torch_index_select` without batch axes."""
    table, places = (flow.state(operand) for operand in op.operands)
    axis = ir.IntegerAttr(op.attributes["dim"]).value
    if ir.IntegerAttr(op.attributes["batch_dims"]).value:
        raise MixedRows(_ACROSS)
    width = len(flow.shape(op.operands[1]))
    if isinstance(places, Rows) and isinstance(table, Same):
        return Rows(axis + places.axis, places.layout, places.alike)
    if isinstance(table, Rows) and isinstance(places, Same) and table.axis != axis:
        moved = table.axis if table.axis < axis else table.axis + width - 1
        return Rows(moved, table.layout, table.alike)
    raise MixedRows(_ACROSS)


def _dynamic_slice(flow: Flow, op: Any) -> State:
    state, shape = flow.rows(op.operands[0]), flow.shape(op.operands[0])
    _require_same_places(flow, op.operands[1:])
    if not flow.batch.equal(list(op.opview.slice_sizes)[state.axis], shape[state.axis]):
        raise MixedRows(_ACROSS)
    return state


def _update_slice(flow: Flow, op: Any) -> State:
    """A place is moved so that the update fits: one over the whole axis begins at its start."""
    _require_same_places(flow, op.operands[2:])
    found = flow.batch.joined(flow.rows(operand) for operand in op.operands[:2])
    shapes = [flow.shape(operand) for operand in op.operands[:2]]
    if isinstance(found, Rows) and not flow.batch.equal(*(shape[found.axis] for shape in shapes)):
        raise MixedRows("writes to some of the rows")
    return found


def _require_same_places(flow: Flow, places: Any) -> None:
    if not all(isinstance(flow.state(place), Same) for place in places):
        raise MixedRows("takes places from rows")


def _rows(state: State) -> Rows:
    if not isinstance(state, Rows):
        raise MixedRows("writes rows to a tensor that has none")
    return state


def _scatter(flow: Flow, op: Any) -> list[State]:
    count = len(op.results)
    numbers = stablehlo.ScatterDimensionNumbers(op.attributes["scatter_dimension_numbers"])
    places = flow.state(op.operands[count])
    target = _rows(flow.batch.joined(map(flow.rows, op.operands[:count])))
    update = _rows(flow.batch.joined(map(flow.rows, op.operands[count + 1 :])))
    windows = sorted(numbers.update_window_dims)
    if isinstance(places, Rows):
        batching = dict(zip(numbers.input_batching_dims, numbers.scatter_indices_batching_dims, strict=True))
        before = places.axis - (numbers.index_vector_dim < places.axis)
        rank = len(flow.shape(op.operands[count + 1]))
        axis = [at for at in range(rank) if at not in windows][before]
        if axis != update.axis:
            raise MixedRows("writes rows of one axis by those of another")
        if batching.get(target.axis) == places.axis:
            moved = [Rows(target.axis, state.layout, state.alike) for state in (target, places, update)]
            return [flow.batch.joined(moved)] * count
        flow.batch.joined((places, Rows(places.axis, update.layout)))
        own, moving = {*numbers.inserted_window_dims}, list(numbers.scattered_dims_to_operand_dims)
        alike = _own_rows(flow, op, count, numbers.index_vector_dim, moving, own)
        return [Rows(target.axis, target.layout, alike and target.alike and update.alike)] * count
    dropped = {*numbers.inserted_window_dims, *numbers.input_batching_dims}
    kept = [at for at in range(len(flow.shape(op.operands[0]))) if at not in dropped]
    moving = set(numbers.scattered_dims_to_operand_dims)
    whole = target.axis in kept and target.axis not in moving
    if not whole or windows[kept.index(target.axis)] != update.axis:
        raise MixedRows("writes to rows by their numbers")
    shapes = flow.shape(op.operands[0]), flow.shape(op.operands[count + 1])
    if not flow.batch.equal(shapes[0][target.axis], shapes[1][update.axis]):
        raise MixedRows("writes to some of the rows")
    both = (target, Rows(target.axis, update.layout, update.alike))
    return [flow.batch.joined(both)] * count


RULES: dict[str, Rule] = {
    "dynamic_gather": _gather,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _update_slice,
    "gather": _gather,
    "scatter": _scatter,
    "torch_index_select": _select_rows,
}
