"""Recurrent layers and cells: LSTM, GRU and the two plain ones.

The products of the input with its weights are one dot for all steps. Few steps are written out one after the
other, many are a loop.

Halves are rounded after every operation, as in eager's own kernels. Where the processor has bfloat16
products, eager's LSTM of bfloat16 is oneDNN's, which rounds elsewhere: the two lie within a last place of 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.registry import add_rules, lowers
from lowering.stablehlo.value import Value

# Steps of all layers and directions that are written out. An LSTM of two layers, 32 steps and 256 features
# then takes 0.9 to 1.1 ms (a loop: 1.4 to 5.2), but up to 3.6 s to compile.
MAX_UNROLLED = 64


@dataclass(frozen=True, slots=True)
class Weights:
    """Of one layer in one direction: w_ih [G*H, I], w_hh [G*H, P], biases [G*H], w_hr [P, H].

    G gates of H features; P is H unless w_hr projects what a step gives.
    """

    w_ih: Value
    w_hh: Value
    b_ih: Value | None = None
    b_hh: Value | None = None
    w_hr: Value | None = None


# The state between steps: (h,), or (h, c) for LSTM; each [N, P or H].
State = tuple[Value, ...]
# `step(cx, inputs, state, weights)`: inputs [N, G*H] are the input's products, bias added.
Step = Callable[[Context, Value, State, Weights], State]


# ---- one step ----


def affine(cx: Context, value: Value, weight: Value, bias: Value | None) -> Value:
    """`value @ weight.T + bias`, rounded once, for any number of leading axes."""
    result = cx.dot_general(value, weight, ([value.rank - 1], [1]))
    if bias is not None:
        result = result + cx.convert(bias, result.dtype)
    return cx.convert(result, value.dtype)


def chunks(cx: Context, gates: Value, count: int) -> list[Value]:
    """The gates, which lie side by side in the last axis."""
    size = gates.shape[-1] // count
    return [cx.slice_axis(gates, -1, i * size, (i + 1) * size) for i in range(count)]


def rounding(cx: Context, dtype: DType) -> Callable[..., Value]:
    """`each(fn, *values)`: one elementwise operation, rounded to `dtype`, as eager does one by one."""
    return lambda fn, *values: cx.pointwise(fn, *values, out=dtype)


def add(a: Value, b: Value) -> Value:
    return a + b


def multiply(a: Value, b: Value) -> Value:
    return a * b


def lstm_step(cx: Context, inputs: Value, state: State, weights: Weights) -> State:
    h, c = state
    each = rounding(cx, h.dtype)
    gates = each(add, affine(cx, h, weights.w_hh, weights.b_hh), inputs)
    i, f, g, o = chunks(cx, gates, 4)
    i, f, o = (each(cx.logistic, gate) for gate in (i, f, o))
    c = each(add, each(multiply, f, c), each(multiply, i, each(cx.tanh, g)))
    h = each(multiply, o, each(cx.tanh, c))
    return (h if weights.w_hr is None else affine(cx, h, weights.w_hr, None)), c


def gru_step(cx: Context, inputs: Value, state: State, weights: Weights) -> State:
    (h,) = state
    each = rounding(cx, h.dtype)
    reset, update, new = chunks(cx, affine(cx, h, weights.w_hh, weights.b_hh), 3)
    of_reset, of_update, of_new = chunks(cx, inputs, 3)
    reset = each(cx.logistic, each(add, reset, of_reset))
    update = each(cx.logistic, each(add, update, of_update))
    new = each(cx.tanh, each(add, of_new, each(multiply, new, reset)))
    rest = each(lambda a, b: a - b, h, new)
    return (each(add, each(multiply, rest, update), new),)


def plain_step(nonlinearity: Callable[[Context, Value], Value]) -> Step:
    def step(cx: Context, inputs: Value, state: State, weights: Weights) -> State:
        (h,) = state
        each = rounding(cx, h.dtype)
        total = each(add, affine(cx, h, weights.w_hh, weights.b_hh), inputs)
        return (each(lambda v: nonlinearity(cx, v), total),)

    return step


tanh_step = plain_step(Context.tanh)
relu_step = plain_step(lambda cx, value: cx.maximum(value, 0))


# ---- cells ----


def cell(
    cx: Context, step: Step, input: Value, state: State, w_ih: Value, w_hh: Value, *biases: Value | None
) -> State:
    """One step by itself."""
    weights = Weights(w_ih, w_hh, *biases)
    return step(cx, affine(cx, input, w_ih, weights.b_ih), state, weights)


@lowers("aten.lstm_cell.default")
def lstm_cell(
    cx: Context,
    input: Value,
    hx: Sequence[Value],
    w_ih: Value,
    w_hh: Value,
    b_ih: Value | None = None,
    b_hh: Value | None = None,
) -> State:
    return cell(cx, lstm_step, input, tuple(hx), w_ih, w_hh, b_ih, b_hh)


def plain_cell(step: Step) -> Callable[..., Value]:
    """The rule of a cell whose state is one tensor."""

    def rule(
        cx: Context,
        input: Value,
        hx: Value,
        w_ih: Value,
        w_hh: Value,
        b_ih: Value | None = None,
        b_hh: Value | None = None,
    ) -> Value:
        return cell(cx, step, input, (hx,), w_ih, w_hh, b_ih, b_hh)[0]

    return rule


STEPS = {"gru": gru_step, "rnn_tanh": tanh_step, "rnn_relu": relu_step}

add_rules((f"aten.{kind}_cell.default", plain_cell(step)) for kind, step in STEPS.items())


# ---- layers ----


def run_direction(
    cx: Context, step: Step, input: Value, state: State, weights: Weights, reverse: bool, unroll: bool
) -> tuple[Value, State]:
    """All steps of one layer in one direction: input [T, N, I] to (output [T, N, P], last state)."""
    inputs = affine(cx, input, weights.w_ih, weights.b_ih)
    steps = inputs.shape[0]
    if not unroll:
        return _loop(cx, step, inputs, state, weights, reverse)
    outputs: list[Value] = []
    for t in reversed(range(steps)) if reverse else range(steps):
        row = cx.squeeze(cx.slice_axis(inputs, 0, t, t + 1), 0)
        state = step(cx, row, state, weights)
        outputs.append(cx.unsqueeze(state[0], 0))
    return cx.concatenate(outputs[::-1] if reverse else outputs, 0), state


def _loop(
    cx: Context, step: Step, inputs: Value, state: State, weights: Weights, reverse: bool
) -> tuple[Value, State]:
    """The same as a loop that writes row after row."""
    steps, *row_shape = inputs.shape
    outputs = cx.constant(0, state[0].dtype, (steps, *state[0].shape))

    def body(i: Value, written: Value, *now: Value) -> tuple[Value, ...]:
        at = [steps - 1 - i if reverse else i, 0, 0]
        row = cx.reshape(cx.dynamic_slice(inputs, at, (1, *row_shape)), row_shape)
        then = step(cx, row, now, weights)
        return i + 1, cx.dynamic_update_slice(written, cx.unsqueeze(then[0], 0), at), *then

    start = [cx.constant(0, DType.INT64), outputs, *state]
    _, written, *last = cx.while_loop(start, lambda i, *_: i < steps, body)
    return written, tuple(last)


def run_layers(
    cx: Context,
    step: Step,
    input: Value,
    hx: Sequence[Value],
    layers: Iterator[Weights],
    num_layers: int,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Value, ...]:
    """The output, then each last state with all layers' and directions' stacked: [L*D, N, P or H]."""
    value = cx.transpose(input, (1, 0, 2)) if batch_first else input
    if not value.shape[0]:
        raise Unsupported("a sequence of no steps, at which eager raises")
    directions = (False, True) if bidirectional else (False,)
    unroll = value.shape[0] * num_layers * len(directions) <= MAX_UNROLLED
    last: list[State] = []
    for _ in range(num_layers):
        outputs = []
        for reverse in directions:
            k = len(last)
            state = tuple(cx.squeeze(cx.slice_axis(v, 0, k, k + 1), 0) for v in hx)
            output, state = run_direction(cx, step, value, state, next(layers), reverse, unroll)
            outputs.append(output)
            last.append(state)
        value = cx.concatenate(outputs, 2)
    value = cx.transpose(value, (1, 0, 2)) if batch_first else value
    stacked = [cx.concatenate([cx.unsqueeze(v, 0) for v in parts], 0) for parts in zip(*last, strict=True)]
    return value, *stacked


def weights_of(params: Sequence[Value], has_biases: bool, projects: bool) -> Iterator[Weights]:
    """Layer by layer, forward before backward: w_ih, w_hh, then b_ih, b_hh and w_hr where there are any."""
    left = iter(params)
    for w_ih in left:
        w_hh = next(left)
        b_ih, b_hh = (next(left), next(left)) if has_biases else (None, None)
        yield Weights(w_ih, w_hh, b_ih, b_hh, next(left) if projects else None)


def check_no_dropout(dropout: float, train: bool, num_layers: int) -> None:
    if train and dropout and num_layers > 1:
        raise Unsupported("dropout in train mode draws random numbers")


@lowers("aten.lstm.input")
def lstm(
    cx: Context,
    input: Value,
    hx: Sequence[Value],
    params: Sequence[Value],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Value, ...]:
    check_no_dropout(dropout, train, num_layers)
    layers = weights_of(params, has_biases, projects=hx[0].shape[2] != hx[1].shape[2])
    return run_layers(cx, lstm_step, input, hx, layers, num_layers, bidirectional, batch_first)


def layers_of(step: Step) -> Callable[..., tuple[Value, ...]]:
    """The rule of layers whose state is one tensor."""

    def rule(
        cx: Context,
        input: Value,
        hx: Value,
        params: Sequence[Value],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> tuple[Value, ...]:
        check_no_dropout(dropout, train, num_layers)
        layers = weights_of(params, has_biases, projects=False)
        return run_layers(cx, step, input, [hx], layers, num_layers, bidirectional, batch_first)

    return rule


add_rules((f"aten.{kind}.input", layers_of(step)) for kind, step in STEPS.items())


@lowers("aten.lstm.data", "aten.gru.data", "aten.rnn_tanh.data", "aten.rnn_relu.data")
def packed(
    cx: Context,
    data: Value,
    batch_sizes: Value,
    hx: object,
    params: object,
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
) -> Value:
    raise Unsupported("the lengths of packed sequences are known only once the data is")
