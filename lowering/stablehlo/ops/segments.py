"""Reductions of consecutive segments of an axis, whose bounds are data."""

from __future__ import annotations

from collections.abc import Callable

from lowering.ir.types import DType
from lowering.stablehlo.context import ConcreteType, Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.ops.indexing import take_along
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.value import Scalar, Value

INT64 = DType.INT64

# Reduction -> what an empty segment starts from, and how an element joins.
REDUCTIONS: dict[str, tuple[float, Callable[[Context, Value, Value], Value]]] = {
    "sum": (0.0, lambda cx, a, b: a + b),
    "mean": (0.0, lambda cx, a, b: a + b),
    "prod": (1.0, lambda cx, a, b: a * b),
    "max": (float("-inf"), lambda cx, a, b: cx.maximum(a, b)),
    "min": (float("inf"), lambda cx, a, b: cx.minimum(a, b)),
}


@lowers("aten.segment_reduce.default")
def segment_reduce(
    cx: Context,
    data: Value,
    reduce: str,
    lengths: Value | None = None,
    offsets: Value | None = None,
    axis: int = 0,
    unsafe: bool = False,
    initial: Scalar | None = None,
) -> Value:
    """data: [..., n, *inner]; lengths: [..., segments], or offsets: [..., segments + 1]; the axes before the
    last of these are those before n. Of no element a mean is NaN unless there is an initial value.

    One step of a loop per element of the longest segment, rounded at each as in eager: halves show it.
    """
    bounds = lengths if lengths is not None else offsets
    if bounds is None or reduce not in REDUCTIONS:
        raise Unsupported(f"segment_reduce of {reduce!r} by neither lengths nor offsets")
    at = bounds.rank - 1
    bounds = cx.convert(bounds, INT64)
    size = data.shape[at]
    if lengths is not None:
        starts, spans = _checked(cx, bounds, size, unsafe), bounds
    else:
        count = bounds.shape[at]
        starts = cx.slice_axis(bounds, at, 0, count - 1)
        spans = cx.slice_axis(bounds, at, 1, count) - starts
        cx.fail_if((bounds < 0) | (bounds > size), f"an offset is out of bounds for an axis of size {size}")
    if not cx.out.shape or 0 in cx.out.shape:
        return cx.constant(0, data.dtype, cx.out.shape)
    inner = (1,) * (data.rank - bounds.rank)
    starts, spans = (cx.broadcast(cx.reshape(v, (*v.shape, *inner)), cx.out.shape) for v in (starts, spans))
    total = _joined(cx, data, at, starts, spans, reduce, initial)
    if reduce == "mean":
        divisor = cx.convert(cx.convert(cx.maximum(spans, 1), data.dtype), cx.compute_dtype(data.dtype))
        total = cx.pointwise(lambda a, b: a / b, total, divisor, out=data.dtype)
        if initial is None:
            total = cx.select(spans == 0, float("nan"), total)
    return total


def _checked(cx: Context, lengths: Value, size: int, unsafe: bool) -> Value:
    """Where each segment starts."""
    last = lengths.rank - 1
    ends = cx.call("aten.cumsum.default", lengths, last, outs=[ConcreteType(INT64, lengths.shape)])
    cx.fail_if(lengths < 0, "a length of a segment is negative")
    if lengths.shape[last]:
        whole = cx.slice_axis(ends, last, lengths.shape[last] - 1, lengths.shape[last])
        wrong = whole > size if unsafe else whole != size
        cx.fail_if(wrong, f"the lengths of segments do not sum to {size}, the size of their axis")
    return ends - lengths


def _joined(
    cx: Context, data: Value, at: int, starts: Value, spans: Value, reduce: str, initial: Scalar | None
) -> Value:
    identity, join = REDUCTIONS[reduce]
    start = cx.constant(identity if initial is None else initial, data.dtype, cx.out.shape)
    if not data.size:
        return start
    last = data.shape[at] - 1

    def step(count: Value, total: Value) -> tuple[Value, Value]:
        places = cx.clamp(0, starts + count, last)
        element = take_along(cx, data, places, at, inside=True)
        joined = cx.pointwise(lambda a, b: join(cx, a, b), total, element, out=data.dtype)
        return count + 1, cx.select(count < spans, joined, total)

    longest = cx.reduce_max(spans)
    state = (cx.constant(0, INT64), start)
    return cx.while_loop(state, lambda count, _: count < longest, step)[1]
