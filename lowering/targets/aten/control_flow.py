"""Higher-order operators on ATen: only the branch that is taken runs, loops run as loops.

Each function takes the symbols' environment, then the operator's own arguments, a graph being an
`aten.Function`. It returns the list of the operator's results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Any

import torch

from lowering.targets.aten.operators import custom_written
from lowering.targets.errors import UnknownOperator

Symbols = MutableMapping[str, Any]
Function = Callable[..., list[Any]]


def cond(
    symbols: Symbols, predicate: Any, yes: Function, no: Function, operands: Sequence[Any] = ()
) -> list[Any]:
    """One of two graphs, by a predicate of one element."""
    branch = yes if bool(predicate) else no
    return branch(symbols, *operands)


def while_loop(
    symbols: Symbols, test: Function, body: Function, carried: Sequence[Any], additional: Sequence[Any] = ()
) -> list[Any]:
    """The body as long as the test's only result, of one element, is true; `additional` never change."""
    values = list(carried)
    for step in _steps(symbols, test, body, values, additional):
        values = step
    # A loop that never ran returns copies, as eager does, not the caller's own tensors.
    own = {id(value) for value in carried}
    return [v.clone() if isinstance(v, torch.Tensor) and id(v) in own else v for v in values]


def _steps(
    symbols: Symbols, test: Function, body: Function, values: list[Any], additional: Sequence[Any]
) -> Iterator[list[Any]]:
    while bool(test(symbols, *values, *additional)[0]):
        values = body(symbols, *values, *additional)
        yield values


def while_loop_stack_output(
    symbols: Symbols, test: Function, body: Function, carried: Sequence[Any], additional: Sequence[Any] = ()
) -> list[Any]:
    """`while_loop`, each result of every step stacked along a new first axis; without a step, the initial
    values."""
    steps = list(_steps(symbols, test, body, list(carried), additional)) or [list(carried)]
    return [torch.stack(column) for column in zip(*steps, strict=True)]


def map_over(
    symbols: Symbols, function: Function, mapped: Sequence[Any], additional: Sequence[Any] = ()
) -> list[Any]:
    """A graph on each row of `mapped`, along their first axis; results are stacked along a new first axis."""
    length = mapped[0].shape[0]
    if not length:
        # Nothing to stack: a row of zeros, which is dropped again, says what a row's results are.
        given = [x.new_zeros((1, *x.shape[1:])) for x in mapped]
        return [x[:0] for x in map_over(symbols, function, given, additional)]
    rows = [function(symbols, *(x[i] for x in mapped), *additional) for i in range(length)]
    return [torch.stack(column) for column in zip(*rows, strict=True)]


def scan(
    symbols: Symbols,
    combine: Function,
    init: Sequence[Any],
    xs: Sequence[Any],
    additional: Sequence[Any] = (),
) -> list[Any]:
    """The last carry, then each other result of `combine(carry, row of xs)`, stacked along a new first axis.

    Raises ValueError for an operand without rows.
    """
    carry, stacked = list(init), []
    for i in range(_length(xs, "scan")):
        results = combine(symbols, *carry, *(x[i] for x in xs), *additional)
        carry = results[: len(init)]
        stacked.append(results[len(init) :])
    return [*carry, *(torch.stack(column) for column in zip(*stacked, strict=True))]


def associative_scan(
    symbols: Symbols, combine: Function, xs: Sequence[Any], additional: Sequence[Any] = ()
) -> list[Any]:
    """In order, first to last; torch's own tree of partial results rounds differently."""
    rows = [[x[0] for x in xs]]
    for i in range(1, _length(xs, "associative_scan")):
        rows.append(combine(symbols, *rows[-1], *(x[i] for x in xs), *additional))
    return [torch.stack(column) for column in zip(*rows, strict=True)]


def _length(xs: Sequence[Any], name: str) -> int:
    length = xs[0].shape[0] if xs else 0
    if length == 0:
        raise ValueError(f"{name} over nothing: the sizes of its results are not known")
    return length


def with_grad_mode(symbols: Symbols, enabled: bool, function: Function, *operands: Any) -> list[Any]:
    """Nothing is recorded here whatever the mode: weights and inputs are detached."""
    return function(symbols, *operands)


def with_autocast(
    symbols: Symbols, device: str, dtype: Any, enabled: bool, cache: Any, function: Function, *operands: Any
) -> list[Any]:
    """The graph in the mode that eager ran it in, so that its casts are eager's."""
    with torch.autocast(device, dtype=dtype, enabled=enabled, cache_enabled=cache):
        return function(symbols, *operands)


def invoke_subgraph(symbols: Symbols, function: Function, identifier: Any, *operands: Any) -> list[Any]:
    """A graph that several nodes share; the identifier says which, and is not needed."""
    return function(symbols, *operands)


def call_with(symbols: Symbols, function: Function, *operands: Any, **_: Any) -> list[Any]:
    """A graph on operands, for operators that only call it."""
    return function(symbols, *operands)


def call_with_list(
    symbols: Symbols, function: Function, operands: Sequence[Any], *_: Any, **options: Any
) -> list[Any]:
    """`call_with`, of operators that take their operands as one list."""
    return function(symbols, *operands)


def with_effects(symbols: Symbols, token: Any, op: Any, *args: Any, **kwargs: Any) -> list[Any]:
    """Effects are ordered by running in order; the token passes through."""
    result = op(*args, **kwargs)
    returns = len(op._schema.returns)
    return [token, *([] if returns == 0 else [result] if returns == 1 else result)]


def auto_functionalized(symbols: Symbols, op: Any, **kwargs: Any) -> list[Any]:
    """An operator that writes its arguments, on copies: its results, then every argument it writes."""
    names, _ = custom_written(op)
    for name in names:
        value = kwargs.get(name)
        if value is not None:
            kwargs[name] = [x.clone() for x in value] if isinstance(value, list) else value.clone()
    result = op(**kwargs)
    returns = len(op._schema.returns)
    own = [None] if returns == 0 else [result] if returns == 1 else list(result)
    return [*own, *(kwargs[name] for name in names)]


def auto_functionalized_v2(symbols: Symbols, op: Any, **kwargs: Any) -> list[Any]:
    """An operator that writes views of `_all_bases`, on copies of these: its results, then the copies."""
    results = torch.ops.higher_order.auto_functionalized_v2(op, **kwargs)
    return list(results)


def out_dtype(symbols: Symbols, op: Any, dtype: torch.dtype, *args: Any) -> list[Any]:
    """An operator on arguments widened to a dtype, its result in that dtype."""
    return [torch.ops.higher_order.out_dtype(op, dtype, *args)]


HIGHER_ORDER: dict[str, Callable[..., list[Any]]] = {
    "higher_order.cond": cond,
    "higher_order.while_loop": while_loop,
    "higher_order.while_loop_stack_output": while_loop_stack_output,
    "higher_order.map": map_over,
    "higher_order.map_impl": map_over,
    "higher_order.scan": scan,
    "higher_order.associative_scan": associative_scan,
    "higher_order.wrap_with_set_grad_enabled": with_grad_mode,
    "higher_order.wrap_with_autocast": with_autocast,
    "higher_order.invoke_subgraph": invoke_subgraph,
    "higher_order.strict_mode": call_with_list,
    "higher_order.wrap": call_with,
    "higher_order.wrap_activation_checkpoint": call_with,
    "higher_order.tag_activation_checkpoint": call_with,
    "higher_order.invoke_quant": call_with,
    "higher_order.invoke_quant_packed": call_with,
    "higher_order.hints_wrapper": call_with_list,
    "higher_order.run_const_graph": call_with_list,
    "higher_order.out_dtype": out_dtype,
    "higher_order.with_effects": with_effects,
    "higher_order.auto_functionalized": auto_functionalized,
    "higher_order.auto_functionalized_v2": auto_functionalized_v2,
}


def higher_order(target: str) -> Callable[..., list[Any]]:
    """The function of a higher-order target. Raises UnknownOperator."""
    function = HIGHER_ORDER.get(target)
    if function is None:
        raise UnknownOperator(f"the higher-order operator {target} cannot be run on ATen yet")
    return function
