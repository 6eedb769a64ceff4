"""Discrete Fourier transforms: the three kernels that all of torch.fft decomposes into."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt

from lowering.context import Context
from lowering.hlo import ir, stablehlo
from lowering.ir.types import DType
from lowering.registry import lowers
from lowering.value import Value, tensor_type

# Of `normalization`: by what the plain sum is divided, given the number of points.
_DIVISORS = (lambda count: 1.0, sqrt, float)


def _transform(cx: Context, value: Value, kind: str, axis: int, length: int) -> Value:
    """One StableHLO transform (`FFT IFFT RFFT IRFFT`) along one axis; inverse ones divide by `length`."""
    moved = cx.move_axis(value, axis, -1)
    last = {"RFFT": length // 2 + 1}.get(kind, length)
    dtype = value.dtype
    if kind == "RFFT":
        dtype = DType.COMPLEX128 if dtype is DType.FLOAT64 else DType.COMPLEX64
    elif kind == "IRFFT":
        dtype = DType.FLOAT64 if dtype is DType.COMPLEX128 else DType.FLOAT32
    shape = (*moved.shape[:-1], last)
    attribute = ir.Attribute.parse(f"#stablehlo<fft_type {kind}>")
    lengths = ir.DenseI64ArrayAttr.get([length])
    op = stablehlo.FftOp(moved.ir, attribute, lengths, results=[tensor_type(dtype, shape)])
    return cx.move_axis(Value(op.result), -1, axis)


def _complex_transforms(cx: Context, value: Value, axes: Sequence[int], forward: bool) -> Value:
    """Plain sums along several axes of a complex tensor."""
    for axis in axes:
        count = value.shape[axis]
        value = _transform(cx, value, "FFT" if forward else "IFFT", axis, count)
        if not forward:
            value = _scale(cx, value, count)
    return value


def _scale(cx: Context, value: Value, factor: float) -> Value:
    return value if factor == 1 else value * cx.constant(factor, value.dtype)


def _normalise(cx: Context, value: Value, normalization: int, count: int) -> Value:
    return _scale(cx, value, 1 / _DIVISORS[normalization](max(count, 1)))


@lowers("aten._fft_c2c.default")
def complex_to_complex(
    cx: Context, self: Value, dim: Sequence[int], normalization: int, forward: bool
) -> Value:
    result = _complex_transforms(cx, self, dim, forward)
    return _normalise(cx, result, normalization, prod(self.shape[axis] for axis in dim))


@lowers("aten._fft_r2c.default")
def real_to_complex(
    cx: Context, self: Value, dim: Sequence[int], normalization: int, onesided: bool
) -> Value:
    """`onesided` keeps the first half of the last axis of `dim`; the rest is its mirrored conjugate."""
    *others, last = dim
    count = prod(self.shape[axis] for axis in dim)
    if onesided:
        result = _transform(cx, self, "RFFT", last, self.shape[last])
        result = _complex_transforms(cx, result, others, forward=True)
    else:
        result = _complex_transforms(cx, cx.convert(self, cx.out.dtype), dim, forward=True)
    return _normalise(cx, result, normalization, count)


@lowers("aten._fft_c2r.default")
def complex_to_real(
    cx: Context, self: Value, dim: Sequence[int], normalization: int, last_dim_size: int
) -> Value:
    """The inverse of a one-sided transform, of `last_dim_size` real points."""
    *others, last = dim
    half = _complex_transforms(cx, self, others, forward=False)
    result = _scale(cx, _transform(cx, half, "IRFFT", last, last_dim_size), last_dim_size)
    count = last_dim_size * prod(self.shape[axis] for axis in others)
    return _normalise(cx, result, normalization, count)
