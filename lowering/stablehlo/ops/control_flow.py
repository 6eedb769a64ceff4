"""Higher-order operators: cond, while_loop, map, scan, and wrappers of a graph.

Their arguments are positional. A nested graph takes tensors; sizes among its inputs are known from its types.
"""

from __future__ import annotations

from collections.abc import Sequence

from lowering.ir.program import Graph
from lowering.ir.types import DType
from lowering.stablehlo.context import ConcreteType, Context, Operand
from lowering.stablehlo.data_number import is_data_number
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.value import Value


def _tensors(values: Sequence[object]) -> list[Value]:
    return [value for value in values if isinstance(value, Value)]


def _operands(values: Sequence[object]) -> list[Operand]:
    """The tensors that a graph takes, and the numbers that only the data tells."""
    return [value for value in values if isinstance(value, Value) or is_data_number(value)]


def _truth(cx: Context, predicate: Value) -> Value:
    return cx.convert(cx.reshape(predicate, ()), DType.BOOL)


def _check_types(values: Sequence[Value], wanted: Sequence[Value | ConcreteType], what: str) -> None:
    found = [(value.dtype, value.shape) for value in values]
    if found != [(item.dtype, item.shape) for item in wanted]:
        raise Unsupported(f"{what} changes its types")


@lowers("higher_order.cond")
def cond(
    cx: Context, predicate: Value | bool, yes: Graph, no: Graph, operands: Sequence[object] = ()
) -> tuple[Value, ...]:
    """Run one of two graphs. A predicate over sizes is known, and only its branch is emitted."""
    inputs = _operands(operands)
    if is_data_number(predicate):
        predicate = predicate.value
    if not isinstance(predicate, Value):
        return cx.graph(yes if predicate else no, inputs)

    def branch(graph: Graph) -> tuple[Value, ...]:
        results = cx.graph(graph, inputs)
        _check_types(results, cx.outs, "a branch")
        return results

    number = cx.convert(_truth(cx, predicate), DType.INT32)
    types = [(out.dtype, out.shape) for out in cx.outs]
    return cx.case(number, [lambda: branch(no), lambda: branch(yes)], types)


@lowers("higher_order.while_loop")
def while_loop(
    cx: Context, test: Graph, body: Graph, carried: Sequence[object], additional: Sequence[object] = ()
) -> tuple[Value, ...]:
    """`while test(*carried, *additional): carried = body(*carried, *additional)`."""
    state, rest = _tensors(carried), _operands(additional)
    if len(state) != len(carried):
        raise Unsupported("a loop that carries a Python number")

    def step(*values: Value) -> tuple[Value, ...]:
        results = cx.graph(body, [*values, *rest])
        _check_types(results, values, "the body of a loop")
        return results

    # An assertion that failed before may be what this loop needs to end.
    failed = cx.failed()

    def goes_on(*values: Value) -> Value:
        return _truth(cx, cx.graph(test, [*values, *rest])[0]) & ~failed

    return cx.while_loop(state, goes_on, step)


@lowers("higher_order.map", "higher_order.map_impl")
def map_rows(
    cx: Context, function: Graph, mapped: Sequence[object], additional: Sequence[object] = ()
) -> tuple[Value, ...]:
    """`function` of each row along the first axes, its results stacked."""
    return _scan(cx, function, [], _tensors(mapped), _operands(additional))


@lowers("higher_order.scan")
def scan(
    cx: Context,
    combine: Graph,
    init: Sequence[object],
    rows: Sequence[object],
    additional: Sequence[object] = (),
) -> tuple[Value, ...]:
    """`carry, y = combine(carry, row)` over the rows: the last carry and all `y`, stacked."""
    return _scan(cx, combine, _tensors(init), _tensors(rows), _operands(additional))


def _scan(
    cx: Context, combine: Graph, init: list[Value], rows: list[Value], rest: list[Operand]
) -> tuple[Value, ...]:
    """One loop, which writes row after row into its results."""
    stacked = [cx.constant(0, out.dtype, out.shape) for out in cx.outs[len(init) :]]
    if not rows:
        raise Unsupported("a loop over no tensors")
    length = rows[0].shape[0]
    if not length:
        return (*init, *stacked)

    def step(i: Value, *state: Value) -> tuple[Value, ...]:
        carry, written = state[: len(init)], state[len(init) :]
        results = cx.graph(combine, [*carry, *(_row(cx, x, i) for x in rows), *rest])
        _check_types(results[: len(init)], init, "the carry of a scan")
        new = [_with_row(cx, y, i, r) for y, r in zip(written, results[len(init) :], strict=True)]
        return i + 1, *results[: len(init)], *new

    start = [cx.constant(0, DType.INT64), *init, *stacked]
    return cx.while_loop(start, lambda i, *_: i < length, step)[1:]


def _row(cx: Context, value: Value, i: Value) -> Value:
    starts = [i, *[0] * (value.rank - 1)]
    return cx.reshape(cx.dynamic_slice(value, starts, (1, *value.shape[1:])), value.shape[1:])


def _with_row(cx: Context, value: Value, i: Value, row: Value) -> Value:
    starts = [i, *[0] * (value.rank - 1)]
    return cx.dynamic_update_slice(value, cx.reshape(row, (1, *value.shape[1:])), starts)


# ---- graphs that are only wrapped ----


@lowers("higher_order.wrap_with_autocast")
def with_autocast(
    cx: Context, device: str, dtype: object, enabled: bool, cache: object, graph: Graph, *operands: object
) -> tuple[Value, ...]:
    """Of one operator whose casts are inside it; other regions are dissolved before."""
    names = ", ".join(node.target for node in graph.nodes)
    raise Unsupported(f"autocast casts inside {names}")


@lowers("higher_order.invoke_subgraph")
def invoke_subgraph(cx: Context, graph: Graph, identifier: object, *operands: object) -> tuple[Value, ...]:
    return cx.graph(graph, _operands(operands))
