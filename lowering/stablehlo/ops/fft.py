"""Discrete Fourier transforms: the three kernels that all of torch.fft decomposes into."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt

import numpy as np

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.hlo import ir, stablehlo
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.value import Value, tensor_type

# Of `normalization`: by what the plain sum is divided, given the number of points.
_DIVISORS = (lambda count: 1.0, sqrt, float)


# Up to this many points a transform is a product with its matrix, which is as fast as a fast transform, and
# takes any number of points.
_DENSE = 32


def transform(cx: Context, value: Value, kind: str, axis: int, length: int) -> Value:
    """The plain sums of one transform (`FFT IFFT RFFT IRFFT`) along one axis."""
    moved = cx.move_axis(value, axis, -1)
    result = (_dense if length <= _DENSE else _fast)(cx, moved, kind, length)
    return cx.move_axis(result, -1, axis)


def _dense(cx: Context, value: Value, kind: str, length: int) -> Value:
    """Along the last axis, by one real product: the parts of a complex tensor lie side by side in it."""
    if kind != "RFFT":
        value = cx.concatenate([cx.real(value), cx.imag(value)], -1)
    matrix = cx.convert(cx.array(_matrix(kind, length)), value.dtype)
    result = cx.dot_general(value, matrix, ((value.rank - 1,), (0,)))
    if kind == "IRFFT":
        return result
    half = result.shape[-1] // 2
    real, imag = (cx.slice_axis(result, -1, at, at + half) for at in (0, half))
    return cx.complex(real, imag)


def _matrix(kind: str, length: int) -> np.ndarray:
    """Rows: the operand's real parts, then its imaginary ones; columns: the result's likewise."""
    half = length // 2 + 1
    rows, columns = half if kind == "IRFFT" else length, half if kind == "RFFT" else length
    turns = np.outer(np.arange(rows), np.arange(columns)) % length
    cosine, sine = np.cos(2 * np.pi * turns / length), np.sin(2 * np.pi * turns / length)
    if kind in ("FFT", "RFFT"):
        sine = -sine
    matrix = np.block([[cosine, sine], [-sine, cosine]])
    # Where the angle is a quarter of a turn, the exact zero.
    matrix[abs(matrix) < 1e-15] = 0
    if kind == "RFFT":
        return matrix[:rows]
    if kind == "IRFFT":
        # All points but the first, and the middle one of an even number, stand for their mirror images too.
        weights = np.full(rows, 2.0)
        weights[0] = 1.0
        if length % 2 == 0:
            weights[-1] = 1.0
        return np.tile(weights, 2)[:, None] * matrix[:, :columns]
    return matrix


def _fast(cx: Context, value: Value, kind: str, length: int) -> Value:
    """StableHLO's transform along the last axis."""
    last = {"RFFT": length // 2 + 1}.get(kind, length)
    dtype = value.dtype
    if kind == "RFFT":
        dtype = DType.COMPLEX128 if dtype is DType.FLOAT64 else DType.COMPLEX64
    elif kind == "IRFFT":
        dtype = DType.FLOAT64 if dtype is DType.COMPLEX128 else DType.FLOAT32
    shape = (*value.shape[:-1], last)
    attribute = ir.Attribute.parse(f"#stablehlo<fft_type {kind}>")
    lengths = ir.DenseI64ArrayAttr.get([length])
    op = stablehlo.FftOp(value.ir, attribute, lengths, results=[tensor_type(dtype, shape)])
    # The inverse ones divide.
    return _scale(cx, Value(op.result, shape), length if kind in ("IFFT", "IRFFT") else 1)


def _complex_transforms(cx: Context, value: Value, axes: Sequence[int], forward: bool) -> Value:
    """Plain sums along several axes of a complex tensor."""
    for axis in axes:
        value = transform(cx, value, "FFT" if forward else "IFFT", axis, value.shape[axis])
    return value


def _scale(cx: Context, value: Value, factor: float) -> Value:
    return value if factor == 1 else value * cx.constant(factor, value.dtype)


def normalise(cx: Context, value: Value, normalization: int, count: int) -> Value:
    """Plain sums of `count` points divided by 1, the root of `count`, or `count`: torch's 0, 1 and 2."""
    return _scale(cx, value, 1 / _DIVISORS[normalization](max(count, 1)))


@lowers("aten._fft_c2c.default")
def complex_to_complex(
    cx: Context, self: Value, dim: Sequence[int], normalization: int, forward: bool
) -> Value:
    result = _complex_transforms(cx, self, dim, forward)
    return normalise(cx, result, normalization, prod(self.shape[axis] for axis in dim))


@lowers("aten._fft_r2c.default")
def real_to_complex(
    cx: Context, self: Value, dim: Sequence[int], normalization: int, onesided: bool
) -> Value:
    """`onesided` keeps the first half of the last axis of `dim`; the rest is its mirrored conjugate."""
    *others, last = dim
    count = prod(self.shape[axis] for axis in dim)
    if onesided:
        result = transform(cx, self, "RFFT", last, self.shape[last])
        result = _complex_transforms(cx, result, others, forward=True)
    else:
        result = _complex_transforms(cx, cx.convert(self, cx.out.dtype), dim, forward=True)
    return normalise(cx, result, normalization, count)


@lowers("aten._fft_c2r.default")
def complex_to_real(
    cx: Context, self: Value, dim: Sequence[int], normalization: int, last_dim_size: int
) -> Value:
    """The inverse of a one-sided transform, of `last_dim_size` real points."""
    *others, last = dim
    half = _complex_transforms(cx, self, others, forward=False)
    result = transform(cx, half, "IRFFT", last, last_dim_size)
    count = last_dim_size * prod(self.shape[axis] for axis in others)
    return normalise(cx, result, normalization, count)
