"""torchao's affine quantisation, whose parameters each hold for one block of a tensor.

A block of sizes `block_size` shares a scale and a zero point: whole rows, groups within rows, or everything.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lowering.ir.types import DType
from lowering.stablehlo.context import ConcreteType, Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.ops.casts import cast
from lowering.stablehlo.ops.stepwise import (
    cast_to,
    extremes,
    limited,
    minus,
    one_over,
    over,
    plus,
    rounded,
    step,
    times,
)
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.value import Scalar, Shape, Value, numpy_dtype

F32 = DType.FLOAT32


def _blocks(block_size: Sequence[int], shape: Shape) -> tuple[list[int], list[int]]:
    """The shape with each divided axis as two, and the axes that lie within a block."""
    sizes: list[int] = []
    axes: list[int] = []
    for block, size in zip(block_size, shape, strict=True):
        if block != size and block > 1:
            if size % block:
                raise Unsupported(f"an axis of size {size} has no whole blocks of {block}")
            sizes += [size // block, block]
            axes.append(len(sizes) - 1)
        else:
            sizes.append(size)
            if block != 1:
                axes.append(len(sizes) - 1)
    return sizes, axes


def _per_block(cx: Context, parameter: Value, sizes: Sequence[int], axes: Sequence[int]) -> Value:
    return cx.reshape(parameter, [1 if axis in axes else size for axis, size in enumerate(sizes)])


def _range(dtype: DType, low: Scalar | None, high: Scalar | None) -> tuple[Scalar, Scalar]:
    """The bounds that are given, else those of the dtype."""
    if dtype.is_floating:
        greatest = _greatest(dtype)
        bounds: tuple[Scalar, Scalar] = (-greatest, greatest)
    else:
        info = np.iinfo(numpy_dtype(dtype))
        bounds = (int(info.min), int(info.max))
    return bounds[0] if low is None else low, bounds[1] if high is None else high


def _greatest(dtype: DType) -> float:
    import ml_dtypes

    return float(ml_dtypes.finfo(numpy_dtype(dtype)).max)


@lowers("torchao.quantize_affine.default")
def quantize_affine(
    cx: Context,
    input: Value,
    block_size: Sequence[int],
    scale: Value,
    zero_point: Value | None,
    output_dtype: DType,
    quant_min: Scalar | None = None,
    quant_max: Scalar | None = None,
) -> Value:
    if zero_point is None or not zero_point.size:
        raise Unsupported("eager takes no quantisation without a zero point")
    low, high = _range(output_dtype, quant_min, quant_max)
    sizes, axes = _blocks(block_size, input.shape)
    inverse = one_over(cx, _per_block(cx, scale, sizes, axes))
    places = rounded(cx, times(cx, cx.reshape(input, sizes), inverse))
    places = plus(cx, places, _per_block(cx, zero_point, sizes, axes))
    return cast(cx, cx.reshape(limited(cx, places, low, high), input.shape), output_dtype)


@lowers("torchao.dequantize_affine.default")
def dequantize_affine(
    cx: Context,
    input: Value,
    block_size: Sequence[int],
    scale: Value,
    zero_point: Value | None,
    input_dtype: DType,
    quant_min: Scalar | None = None,
    quant_max: Scalar | None = None,
    output_dtype: DType = F32,
) -> Value:
    sizes, axes = _blocks(block_size, input.shape)
    numbers = cast_to(cx, cx.reshape(input, sizes), output_dtype)
    if zero_point is not None:
        zero = cast_to(cx, _per_block(cx, zero_point, sizes, axes), output_dtype)
        numbers = minus(cx, numbers, zero)
    product = times(cx, numbers, _per_block(cx, scale, sizes, axes))
    return cast(cx, cx.reshape(product, input.shape), output_dtype)


@lowers("torchao.choose_qparams_affine.default")
def choose_qparams_affine(
    cx: Context,
    input: Value | None,
    mapping_type: str,
    block_size: Sequence[int],
    target_dtype: DType,
    quant_min: Scalar | None = None,
    quant_max: Scalar | None = None,
    eps: float | None = None,
    scale_dtype: DType | None = None,
    zero_point_dtype: DType | None = None,
    keepdim: bool = False,
) -> tuple[Value, Value]:
    if input is None:
        raise Unsupported("without an input there is no range")
    bounds = _range(target_dtype, quant_min, quant_max)
    least, greatest = (float(bound) for bound in bounds)  # pyright: ignore[reportArgumentType]
    sizes, axes = _blocks(block_size, input.shape)
    low, high = extremes(cx, cx.reshape(input, sizes), axes, keepdim)
    if mapping_type == "SYMMETRIC":
        scale = over(cx, cx.maximum(-low, high), (greatest - least) / 2)
    elif mapping_type == "SYMMETRIC_NO_CLIPPING_ERR":
        below, above = over(cx, low, least), over(cx, high, greatest)
        scale = cx.select(below > above, below, above)
    elif mapping_type == "ASYMMETRIC":
        scale = over(cx, minus(cx, high, low), greatest - least)
    else:
        raise Unsupported(f"eager has no mapping {mapping_type!r}")
    scale = limited(cx, scale, _smallest_normal(input.dtype) if eps is None else eps, None)
    if mapping_type == "ASYMMETRIC":
        zero = step(cx, "aten.rsub.Scalar", rounded(cx, over(cx, low, scale)), bounds[0])
        zero = limited(cx, zero, *bounds)
    else:
        zero = cx.constant(int((greatest + least + 1) / 2), scale.dtype, scale.shape)
    made = (cast_to(cx, part, out.dtype) for part, out in zip((scale, zero), cx.outs, strict=True))
    scale, zero = (cx.reshape(part, out.shape) for part, out in zip(made, cx.outs, strict=True))
    return scale, zero


def _smallest_normal(dtype: DType) -> float:
    import ml_dtypes

    return float(ml_dtypes.finfo(numpy_dtype(dtype)).smallest_normal)


@lowers("torchao.choose_scale_float8.default")
def choose_scale_float8(
    cx: Context,
    tensor: Value,
    block_size: Sequence[int],
    float8_dtype: DType = DType.FLOAT8_E4M3FN,
    scale_dtype: DType = F32,
    hp_value_lb: float | None = None,
    hp_value_ub: float | None = None,
) -> Value:
    sizes, axes = _blocks(block_size, tensor.shape)
    size = cx.reduce_max(cx.abs(cx.reshape(tensor, sizes)), axes, keepdim=True)
    if hp_value_lb is not None or hp_value_ub is not None:
        size = limited(cx, size, hp_value_lb, hp_value_ub)
    scale = over(cx, size, _greatest(float8_dtype))
    if scale_dtype is not F32:
        scale = step(cx, "aten.exp2.default", rounded(cx, step(cx, "aten.log2.default", scale)))
    return cx.reshape(cast(cx, scale, F32), cx.out.shape)


@lowers("torchao.quantize_affine_float8_non_decomposed.default")
def quantize_affine_float8(
    cx: Context, tensor: Value, scale: Value, float8_dtype: DType = DType.FLOAT8_E4M3FN
) -> Value:
    greatest = _greatest(float8_dtype)
    places = over(cx, cx.convert(tensor, F32), _stretched(cx, scale, tensor.shape))
    return cast(cx, limited(cx, places, -greatest, greatest), float8_dtype)


@lowers("torchao.dequantize_affine_float8_non_decomposed.default")
def dequantize_affine_float8(cx: Context, tensor: Value, scale: Value, output_dtype: DType = F32) -> Value:
    product = times(cx, cx.convert(tensor, F32), _stretched(cx, scale, tensor.shape))
    return cast(cx, product, output_dtype)


def _stretched(cx: Context, scale: Value, shape: Shape) -> Value:
    """A scale per block, as one that broadcasts to the tensor."""
    if scale.size == 1 or all(a in (1, b) for a, b in zip(scale.shape, shape, strict=False)):
        return scale
    if scale.rank != len(shape):
        raise Unsupported(f"scales of {scale.rank} axes for a tensor of {len(shape)}")
    for axis, (count, size) in enumerate(zip(scale.shape, shape, strict=True)):
        if size % count:
            raise Unsupported(f"an axis of size {size} has no {count} whole blocks")
        out = ConcreteType(scale.dtype, (*scale.shape[:axis], size, *scale.shape[axis + 1 :]))
        scale = cx.call("aten.repeat_interleave.self_int", scale, size // count, axis, outs=[out])
    return scale
