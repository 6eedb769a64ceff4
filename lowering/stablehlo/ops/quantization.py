"""Affine quantisation: of programs that torch's quantiser made, and the one that training imitates.

A number x stands for the integer `round(x / scale) + zero_point`, within a range. The operators outside ATen
are those of `torch.ao.quantization.fx`, whose Python code says how they round.
"""

from __future__ import annotations

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.ops.casts import cast
from lowering.stablehlo.ops.stepwise import cast_to, limited, minus, one_over, plus, rounded, times
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.value import Scalar, Value

F32, F64, I64 = DType.FLOAT32, DType.FLOAT64, DType.INT64


def _inverse(cx: Context, scale: Value | float) -> Value | float:
    """1 / scale, where it is one number: in double precision, as Python takes it."""
    if isinstance(scale, Value):
        return cx.convert(1.0 / cx.convert(cx.reshape(scale, ()), F64), F32)
    return 1.0 / scale


def _one(cx: Context, number: Value | Scalar, dtype: DType) -> Value | Scalar:
    """A number, given as such or as a tensor of one element."""
    return cx.convert(cx.reshape(number, ()), dtype) if isinstance(number, Value) else number


def _along(cx: Context, values: Value, like: Value, axis: int) -> Value:
    """One value for each index of an axis, stretched to the sizes of `like`."""
    return cx.broadcast_in_dim(values, like.shape, (cx.axis(axis, like.rank),))


@lowers(
    "quantized_decomposed.quantize_per_tensor.default",
    "quantized_decomposed.quantize_per_tensor.tensor",
    "quantized_decomposed.quantize_per_tensor.tensor2",
)
def quantize_per_tensor(
    cx: Context,
    input: Value,
    scale: Value | float,
    zero_point: Value | Scalar,
    quant_min: Value | Scalar,
    quant_max: Value | Scalar,
    dtype: DType,
) -> Value:
    places = cx.round_even(cx.convert(input, F32) * _inverse(cx, scale)) + _one(cx, zero_point, F32)
    return cast(cx, cx.clamp(_one(cx, quant_min, F32), places, _one(cx, quant_max, F32)), dtype)


@lowers(
    "quantized_decomposed.dequantize_per_tensor.default",
    "quantized_decomposed.dequantize_per_tensor.tensor",
    "quantized_decomposed.dequantize_per_tensor.tensor2",
)
def dequantize_per_tensor(
    cx: Context,
    input: Value,
    scale: Value | float,
    zero_point: Value | Scalar,
    quant_min: Value | Scalar,
    quant_max: Value | Scalar,
    dtype: DType,
    out_dtype: DType | None = None,
) -> Value:
    """Eager rounds to the output's dtype after each step."""
    wide = cast_to(cx, input, cx.out.dtype)
    return times(cx, minus(cx, wide, _one(cx, zero_point, F32)), _one(cx, scale, F32))


@lowers("quantized_decomposed.quantize_per_channel.default")
def quantize_per_channel(
    cx: Context,
    input: Value,
    scales: Value,
    zero_points: Value,
    axis: int,
    quant_min: int,
    quant_max: int,
    dtype: DType,
) -> Value:
    wide = F64 if F64 in (scales.dtype, zero_points.dtype) else F32
    scale, zero = (_along(cx, cx.convert(part, wide), input, axis) for part in (scales, zero_points))
    numbers = cx.convert(cx.convert(input, F32), wide)
    places = cx.round_even(numbers * (1.0 / scale)) + zero
    return cast(cx, cx.clamp(float(quant_min), places, float(quant_max)), dtype)


@lowers("quantized_decomposed.dequantize_per_channel.default")
def dequantize_per_channel(
    cx: Context,
    input: Value,
    scales: Value,
    zero_points: Value | None,
    axis: int,
    quant_min: int,
    quant_max: int,
    dtype: DType,
    out_dtype: DType | None = None,
) -> Value:
    """Integers are subtracted as integers, and their difference is taken in the dtype of the scales."""
    numbers = input
    if zero_points is not None:
        wide = I64 if zero_points.dtype.is_integer else zero_points.dtype
        numbers = cx.convert(input, wide) - _along(cx, cx.convert(zero_points, wide), input, axis)
    product = cx.convert(numbers, scales.dtype) * _along(cx, scales, input, axis)
    return cast(cx, product, cx.out.dtype)


def _placed(cx: Context, numbers: Value, scales: Value, zeros: Value, low: int, high: int) -> Value:
    """Rounded after the zero point is added, which may not be an integer. The bounds in between keep the
    product and the sum from being fused. They cut only numbers out of the range."""
    product = limited(cx, times(cx, numbers, one_over(cx, scales)), -1e9, 1e9)
    return limited(cx, rounded(cx, plus(cx, product, zeros)), low, high)


@lowers("quantized_decomposed.quantize_per_token.default")
def quantize_per_token(
    cx: Context, input: Value, scales: Value, zero_points: Value, quant_min: int, quant_max: int, dtype: DType
) -> Value:
    return cast(cx, _placed(cx, input, scales, zero_points, quant_min, quant_max), dtype)


@lowers("quantized_decomposed.dequantize_per_token.default")
def dequantize_per_token(
    cx: Context,
    input: Value,
    scales: Value,
    zero_points: Value,
    quant_min: int,
    quant_max: int,
    dtype: DType,
    output_dtype: DType,
) -> Value:
    return cast(cx, times(cx, minus(cx, input, zero_points), scales), output_dtype)


def _in_groups(cx: Context, value: Value, scales: Value, size: int) -> Value:
    """A matrix as rows of one group each."""
    if size > value.shape[-1] and scales.shape[-1] == 1:
        size = value.shape[-1]
    return cx.reshape(value, (-1, size))


@lowers("quantized_decomposed.quantize_per_channel_group.default")
def quantize_per_channel_group(
    cx: Context,
    input: Value,
    scales: Value,
    zero_points: Value,
    quant_min: int,
    quant_max: int,
    dtype: DType,
    group_size: int,
) -> Value:
    cx.fail_if(cx.is_nan(input), "to_quant must not contain NaNs")
    scale, zero = (cx.reshape(part, (-1, 1)) for part in (scales, zero_points))
    places = _placed(cx, _in_groups(cx, input, scales, group_size), scale, zero, quant_min, quant_max)
    return cx.reshape(cast(cx, places, dtype), input.shape)


@lowers("quantized_decomposed.dequantize_per_channel_group.default")
def dequantize_per_channel_group(
    cx: Context,
    input: Value,
    scales: Value,
    zero_points: Value | None,
    quant_min: int,
    quant_max: int,
    dtype: DType,
    group_size: int,
    output_dtype: DType,
) -> Value:
    numbers = _in_groups(cx, input, scales, group_size)
    if zero_points is not None:
        numbers = minus(cx, numbers, cx.reshape(zero_points, (-1, 1)))
    product = times(cx, numbers, cx.reshape(scales, (-1, 1)))
    return cast(cx, cx.reshape(product, input.shape), output_dtype)


@lowers("quantized_decomposed.fake_quant_per_channel.default")
def fake_quant_per_channel(
    cx: Context, input: Value, scales: Value, zero_points: Value, axis: int, quant_min: int, quant_max: int
) -> Value:
    scale, zero = (_along(cx, cx.convert(part, F32), input, axis) for part in (scales, zero_points))
    places = cx.round_even(input * (1.0 / scale)) + zero
    return (cx.clamp(float(quant_min), places, float(quant_max)) - zero) * scale


@lowers("quantized_decomposed.convert_element_type.no_fuse")
def convert_element_type(cx: Context, input: Value, dtype: DType) -> Value:
    return cast(cx, input, cx.out.dtype)


@lowers(
    "aten.fake_quantize_per_tensor_affine.default",
    "aten.fake_quantize_per_tensor_affine.tensor_qparams",
)
def fake_quantize_per_tensor(
    cx: Context,
    self: Value,
    scale: Value | Scalar,
    zero_point: Value | Scalar,
    quant_min: int,
    quant_max: int,
) -> Value:
    return _fake(cx, self, _one(cx, scale, F32), _one(cx, zero_point, F32), quant_min, quant_max)[0]


@lowers("aten.fake_quantize_per_tensor_affine_cachemask.default")
def fake_quantize_per_tensor_mask(
    cx: Context, self: Value, scale: float, zero_point: int, quant_min: int, quant_max: int
) -> tuple[Value, Value]:
    return _fake(cx, self, scale, zero_point, quant_min, quant_max)


@lowers("aten.fake_quantize_per_channel_affine.default")
def fake_quantize_per_channel(
    cx: Context, self: Value, scale: Value, zero_point: Value, axis: int, quant_min: int, quant_max: int
) -> Value:
    return fake_quantize_per_channel_mask(cx, self, scale, zero_point, axis, quant_min, quant_max)[0]


@lowers("aten.fake_quantize_per_channel_affine_cachemask.default")
def fake_quantize_per_channel_mask(
    cx: Context, self: Value, scale: Value, zero_point: Value, axis: int, quant_min: int, quant_max: int
) -> tuple[Value, Value]:
    scales, zeros = (_along(cx, cx.convert(part, F32), self, axis) for part in (scale, zero_point))
    return _fake(cx, self, scales, zeros, quant_min, quant_max)


def _fake(
    cx: Context, self: Value, scale: Value | Scalar, zero: Value | Scalar, low: int, high: int
) -> tuple[Value, Value]:
    """`self` quantised and dequantised, and a mask of the elements in the range. NaN becomes the lowest."""
    wide = F64 if self.dtype is F64 else F32
    one = cx.as_value(scale, F32)
    inverse = cx.convert(1.0 / one, wide)
    places = cx.round_even(cx.convert(self, wide) * inverse) + cx.convert(cx.as_value(zero, F32), wide)
    inside = cx.compare(places, float(low), "GE") & cx.compare(places, float(high), "LE")
    bounded = cx.select(cx.is_nan(places), float(low), cx.clamp(float(low), places, float(high)))
    left = (cx.convert(bounded, F32) - zero) * one
    return cx.convert(left, self.dtype), inside
