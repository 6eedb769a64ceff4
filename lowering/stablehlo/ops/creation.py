"""Tensors made from sizes and scalars: constants, ranges, triangles, windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lowering.ir.types import DType
from lowering.stablehlo.bounds import interval
from lowering.stablehlo.context import Context
from lowering.stablehlo.data_number import is_data_number
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.ops.casts import cast
from lowering.stablehlo.registry import add_rules, lowers
from lowering.stablehlo.symbolic import is_symbolic
from lowering.stablehlo.value import Scalar, Value, numpy_dtype

# Larger tables would bloat the module; they stay on ATen.
MAX_TABLE = 1 << 20


def table(cx: Context, values: np.ndarray) -> Value:
    """A constant of the result's type, rounded once from float64 or int64."""
    if values.size > MAX_TABLE:
        raise Unsupported(f"a constant of {values.size} elements would bloat the module")
    return cx.array(values.astype(numpy_dtype(cx.out.dtype)).reshape(cx.out.shape))


def filled(cx: Context, value: Scalar) -> Value:
    return cx.constant(value, cx.out.dtype, cx.out.shape)


def _sized(value: Scalar) -> Callable[..., Value]:
    def rule(cx: Context, size: Sequence[int], dtype: DType | None) -> Value:
        return filled(cx, value)

    return rule


def _new(value: Scalar) -> Callable[..., Value]:
    def rule(cx: Context, self: Value, size: Sequence[int], dtype: DType | None) -> Value:
        return filled(cx, value)

    return rule


# Any value is right for what `empty` makes; zeros are the same every time.
add_rules(
    (
        ("aten.zeros.default", _sized(0)),
        ("aten.empty.memory_format", _sized(0)),
        ("aten.ones.default", _sized(1)),
        ("aten.new_zeros.default", _new(0)),
        ("aten.new_empty.default", _new(0)),
        ("aten.new_ones.default", _new(1)),
    )
)


@lowers("aten.empty_permuted.default")
def empty_permuted(
    cx: Context, size: Sequence[int], physical_layout: Sequence[int], dtype: DType | None
) -> Value:
    return filled(cx, 0)


@lowers("aten.empty_strided.default")
def empty_strided(cx: Context, size: Sequence[int], stride: Sequence[int], dtype: DType | None) -> Value:
    return filled(cx, 0)


@lowers("aten.new_empty_strided.default")
def new_empty_strided(
    cx: Context, self: Value, size: Sequence[int], stride: Sequence[int], dtype: DType | None
) -> Value:
    return filled(cx, 0)


@lowers("aten.full.default")
def full(cx: Context, size: Sequence[int], fill_value: Scalar, dtype: DType | None) -> Value:
    return filled(cx, fill_value)


@lowers("aten.new_full.default")
def new_full(cx: Context, self: Value, size: Sequence[int], fill_value: Scalar, dtype: DType | None) -> Value:
    return filled(cx, fill_value)


@lowers("aten.zeros_like.default", "aten.empty_like.default")
def zeros_like(cx: Context, self: Value, dtype: DType | None) -> Value:
    return filled(cx, 0)


@lowers("aten.ones_like.default")
def ones_like(cx: Context, self: Value, dtype: DType | None) -> Value:
    return filled(cx, 1)


@lowers("aten.full_like.default")
def full_like(cx: Context, self: Value, fill_value: Scalar, dtype: DType | None) -> Value:
    return filled(cx, fill_value)


@lowers("aten.zero.default")
def zero(cx: Context, self: Value) -> Value:
    return filled(cx, 0)


@lowers("aten.fill.Scalar", "aten.fill.Tensor")
def fill(cx: Context, self: Value, value: Value | Scalar) -> Value:
    if not isinstance(value, Value):
        return filled(cx, value)
    return cx.broadcast(cast(cx, value, cx.out.dtype), cx.out.shape)


@lowers("aten.scalar_tensor.default")
def scalar_tensor(cx: Context, s: Scalar, dtype: DType | None) -> Value:
    return filled(cx, s)


@lowers("aten._shape_as_tensor.default")
def shape_as_tensor(cx: Context, self: Value) -> Value:
    return table(cx, np.array(self.shape, dtype=np.int64))


def _whole(number: Any) -> Any:
    """A number as an integer; one that only the call or the data tells is one."""
    if is_symbolic(number) or is_data_number(number):
        return number
    return int(number)


def progression(cx: Context, start: Scalar, step: Scalar) -> Value:
    """start, start + step, ... in the result's type; fractions are computed in float64 and rounded once."""
    out, shape = cx.out.dtype, cx.out.shape
    if out.is_integer:
        start, step = _whole(start), _whole(step)
        return cx.iota(out, shape) * step + start
    count = shape[0]
    whole = float(start).is_integer() and float(step).is_integer()  # pyright: ignore[reportArgumentType]
    compute = cx.compute_dtype(out)
    exact = 2 ** (np.finfo(numpy_dtype(compute)).nmant + 1)
    reach = abs(start) + abs(step) * count
    if whole and reach <= exact:
        return cx.convert(cx.iota(compute, shape) * step + start, out)
    if count <= MAX_TABLE:
        return table(cx, np.arange(count, dtype=np.float64) * step + start)
    return cx.convert(cx.iota(DType.FLOAT64, shape) * step + start, out)


@lowers("aten.arange.default")
def arange(cx: Context, end: Scalar, dtype: DType | None) -> Value:
    return progression(cx, 0, 1)


@lowers("aten.arange.start")
def arange_from(cx: Context, start: Scalar, end: Scalar, dtype: DType | None) -> Value:
    return progression(cx, start, 1)


@lowers("aten.arange.start_step", "aten.range.step")
def arange_by(cx: Context, start: Scalar, end: Scalar, step: Scalar, dtype: DType | None) -> Value:
    return progression(cx, start, step)


@lowers("aten.range.default")
def inclusive_range(cx: Context, start: Scalar, end: Scalar, dtype: DType | None) -> Value:
    return progression(cx, start, 1)


def _interpolate(cx: Context, start: Value | Scalar, end: Value | Scalar, steps: int, dtype: DType) -> Value:
    """From both ends towards the middle, as eager does, so that the last value is exactly `end`."""
    return _line(cx, cx.as_value(start, dtype), cx.as_value(end, dtype), steps, lambda value: value)


def _line(cx: Context, first: Value, last: Value, steps: int, fit: Callable[[Value], Value]) -> Value:
    """Values between two 0-d ends; `fit` rounds the step, and each multiple of it."""
    dtype = first.dtype
    if steps < 2:
        return cx.broadcast(first, (steps,))
    step = fit((last - first) / (steps - 1))
    index = cx.iota(dtype if not dtype.is_complex else DType.FLOAT64, (steps,))
    rising = first + fit(step * cx.convert(index, dtype))
    falling = last - fit(step * cx.convert(steps - 1 - index, dtype))
    return cx.select(index < steps // 2, rising, falling)


def _line_dtype(cx: Context) -> DType:
    return DType.FLOAT64 if cx.out.dtype.is_integer else cx.compute_dtype(cx.out.dtype)


_ENDS = ("default", "Tensor_Tensor", "Tensor_Scalar", "Scalar_Tensor")


@lowers(*(f"aten.linspace.{kind}" for kind in _ENDS))
def linspace(
    cx: Context, start: Value | Scalar, end: Value | Scalar, steps: int, dtype: DType | None
) -> Value:
    """Eager's half kernel rounds the ends, the step and its multiples."""
    out = cx.out.dtype
    if not out.is_half:
        return cx.convert(_interpolate(cx, start, end, steps, _line_dtype(cx)), out)

    def fit(value: Value) -> Value:
        return cx.convert(cx.convert(value, out), DType.FLOAT32)

    first, last = (cx.convert(cx.as_value(bound, out), DType.FLOAT32) for bound in (start, end))
    return cx.convert(_line(cx, first, last, steps, fit), out)


@lowers(*(f"aten.logspace.{kind}" for kind in _ENDS))
def logspace(
    cx: Context, start: Value | Scalar, end: Value | Scalar, steps: int, base: float, dtype: DType | None
) -> Value:
    if cx.out.dtype.is_complex and base == 0:
        raise Unsupported("complex powers of 0")
    exponents = _interpolate(cx, start, end, steps, _line_dtype(cx))
    return cx.convert(cx.constant(base, exponents.dtype, exponents.shape) ** exponents, cx.out.dtype)


def _diagonal_offsets(cx: Context, rows: int, columns: int) -> Value:
    """column - row, int32: 0 on the main diagonal."""
    shape = (rows, columns)
    return cx.iota(DType.INT32, shape, 1) - cx.iota(DType.INT32, shape, 0)


@lowers("aten.eye.default")
def eye(cx: Context, n: int, dtype: DType | None) -> Value:
    return cx.convert(_diagonal_offsets(cx, *cx.out.shape) == 0, cx.out.dtype)


@lowers("aten.eye.m")
def eye_m(cx: Context, n: int, m: int, dtype: DType | None) -> Value:
    return eye(cx, n, dtype)


def _clipped(cx: Context, diagonal: int, self: Value) -> int | Value:
    """Diagonals beyond the matrix are all alike; clipped, they fit int32."""
    low, high = -self.shape[-2] - 1, self.shape[-1] + 1
    if is_data_number(diagonal):
        return cx.convert(cx.clamp(low, diagonal.value, high), DType.INT32)
    return max(low, min(diagonal, high))


@lowers("aten.tril.default")
def tril(cx: Context, self: Value, diagonal: int) -> Value:
    keep = _diagonal_offsets(cx, *self.shape[-2:]) <= _clipped(cx, diagonal, self)
    return cx.select(keep, self, 0)


@lowers("aten.triu.default")
def triu(cx: Context, self: Value, diagonal: int) -> Value:
    keep = _diagonal_offsets(cx, *self.shape[-2:]) >= _clipped(cx, diagonal, self)
    return cx.select(keep, self, 0)


def _triangle(select: Callable[..., tuple[np.ndarray, ...]]) -> Callable[..., Value]:
    def rule(cx: Context, row: int, col: int, offset: int, dtype: DType | None) -> Value:
        if row * col > 16 * MAX_TABLE:
            raise Unsupported(f"a triangle of {row} x {col} would bloat the module")
        return table(cx, np.stack(select(row, offset, col)))

    return rule


add_rules(
    (("aten.tril_indices.default", _triangle(np.tril_indices)),
     ("aten.triu_indices.default", _triangle(np.triu_indices)))
)  # fmt: skip


@lowers("aten.one_hot.default")
def one_hot(cx: Context, self: Value, num_classes: int) -> Value:
    if num_classes < 0:
        raise Unsupported("one_hot without num_classes needs the data to know its size")
    known = interval(self.ir)
    if known.low < 0:
        cx.fail_if(self < 0, "Class values must be non-negative.")
    if known.high >= num_classes:
        cx.fail_if(self >= num_classes, "Class values must be smaller than num_classes.")
    classes = cx.iota(self.dtype, (num_classes,)) if num_classes else cx.constant(0, self.dtype, (0,))
    return cx.convert(cx.unsqueeze(self, -1) == classes, cx.out.dtype)


def _cosine_window(count: int, periodic: bool, weights: Sequence[float]) -> np.ndarray:
    """sum of (-1)^k weights[k] cos(2 pi k n / N); a symmetric window has N one less than its length."""
    if count == 1:
        return np.ones(1)
    phase = 2 * np.pi * np.arange(count) / (count if periodic else count - 1)
    return sum((-1) ** k * weight * np.cos(k * phase) for k, weight in enumerate(weights))  # pyright: ignore[reportReturnType]


def _bartlett(count: int, periodic: bool) -> np.ndarray:
    if count == 1:
        return np.ones(1)
    return 1 - np.abs(2 * np.arange(count) / (count if periodic else count - 1) - 1)


def _kaiser(count: int, periodic: bool, beta: float) -> np.ndarray:
    window = np.kaiser(count + 1 if periodic and count > 1 else count, beta)
    return window[:count]


def _checked(cx: Context, count: int) -> None:
    if count > MAX_TABLE:
        raise Unsupported(f"a window of {count} elements would bloat the module")
    if cx.out.dtype.is_half:
        raise Unsupported("eager rounds a half window at every step of its making")


@lowers("aten.hann_window.default", "aten.hann_window.periodic")
def hann_window(cx: Context, window_length: int, dtype: DType | None, periodic: bool = True) -> Value:
    _checked(cx, window_length)
    return table(cx, _cosine_window(window_length, periodic, (0.5, 0.5)))


@lowers(
    *(
        f"aten.hamming_window.{kind}"
        for kind in ("default", "periodic", "periodic_alpha", "periodic_alpha_beta")
    )
)
def hamming_window(
    cx: Context,
    window_length: int,
    dtype: DType | None,
    periodic: bool = True,
    alpha: float = 0.54,
    beta: float = 0.46,
) -> Value:
    _checked(cx, window_length)
    return table(cx, _cosine_window(window_length, periodic, (alpha, beta)))


@lowers("aten.blackman_window.default", "aten.blackman_window.periodic")
def blackman_window(cx: Context, window_length: int, dtype: DType | None, periodic: bool = True) -> Value:
    _checked(cx, window_length)
    return table(cx, _cosine_window(window_length, periodic, (0.42, 0.5, 0.08)))


@lowers("aten.bartlett_window.default", "aten.bartlett_window.periodic")
def bartlett_window(cx: Context, window_length: int, dtype: DType | None, periodic: bool = True) -> Value:
    _checked(cx, window_length)
    return table(cx, _bartlett(window_length, periodic))


@lowers("aten.kaiser_window.default", "aten.kaiser_window.periodic", "aten.kaiser_window.beta")
def kaiser_window(
    cx: Context, window_length: int, dtype: DType | None, periodic: bool = True, beta: float = 12.0
) -> Value:
    _checked(cx, window_length)
    return table(cx, _kaiser(window_length, periodic, beta))
