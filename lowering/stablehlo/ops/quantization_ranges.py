"""Scales and zero points from the data, which dynamic quantisation takes anew in every call.

The operators' own types say float64 and int64. Eager computes in the input's type, rounding after each step,
and converts last.
"""

from __future__ import annotations

import numpy as np

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.ops.stepwise import (
    cast_to,
    extremes,
    limited,
    minus,
    over,
    plus,
    rounded,
    step,
)
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.value import Value

F32 = DType.FLOAT32


def _of_all(cx: Context, input: Value) -> tuple[Value, Value]:
    """The range of the whole tensor, 0-d. Eager refuses NaN."""
    low, high = cx.reduce_min(input), cx.reduce_max(input)
    cx.fail_if(~(low <= high), "the least element is not below the greatest: there is a NaN")
    return cx.minimum(low, 0), cx.maximum(high, 0)


def _given(cx: Context, scale: Value, zero: Value) -> tuple[Value, Value]:
    """As the program says that they are."""
    made = [cast_to(cx, part, out.dtype) for part, out in zip((scale, zero), cx.outs, strict=True)]
    scale, zero = (cx.reshape(part, out.shape) for part, out in zip(made, cx.outs, strict=True))
    return scale, zero


def _at_least(cx: Context, scale: Value, eps: float) -> Value:
    """The scale is float32 from here on, as `eps` is."""
    return cx.maximum(cx.convert(scale, F32), eps)


@lowers("quantized_decomposed.choose_qparams.tensor")
def choose_qparams(
    cx: Context, input: Value, quant_min: int, quant_max: int, eps: float, dtype: DType
) -> tuple[Value, Value]:
    low, high = _of_all(cx, input)
    scale = _at_least(cx, over(cx, minus(cx, high, low), float(quant_max - quant_min)), eps)
    places = cx.convert(cx.round_even(cx.convert(low, F32) / scale), DType.INT32)
    zero = cx.clamp(quant_min, quant_min - places, quant_max)
    return _given(cx, scale, zero)


@lowers("quantized_decomposed.choose_qparams_symmetric.tensor")
def choose_qparams_symmetric(
    cx: Context, input: Value, quant_min: int, quant_max: int, eps: float, dtype: DType
) -> tuple[Value, Value]:
    low, high = _of_all(cx, input)
    scale = over(cx, cx.maximum(-low, high), float(quant_max - quant_min) / 2)
    zero = cx.constant(128 if dtype is DType.UINT8 else 0, DType.INT64)
    return _given(cx, _at_least(cx, scale, eps), zero)


@lowers("quantized_decomposed.choose_qparams_per_token.default")
def choose_qparams_per_token(cx: Context, input: Value, dtype: DType) -> tuple[Value, Value]:
    if dtype is not DType.INT8:
        raise Unsupported(f"eager has no {dtype} here")
    scale = cx.reduce_max(cx.abs(input), -1, keepdim=True)
    if scale.dtype is DType.FLOAT16:
        scale = cx.convert(scale, F32)
    scale = over(cx, limited(cx, scale, 1e-5, None), 127)
    return _given(cx, scale, cx.constant(0, scale.dtype, scale.shape))


@lowers(
    "quantized_decomposed.choose_qparams_per_token_asymmetric.default",
    "quantized_decomposed._choose_qparams_per_token_asymmetric_impl.default",
)
def choose_qparams_per_token_asymmetric(cx: Context, input: Value, dtype: DType) -> tuple[Value, Value]:
    """To the whole range of int8, for any dtype. The end with the smaller error fixes the zero point."""
    least, greatest = -128, 127
    low, high = extremes(cx, input, [-1])
    scale = over(cx, minus(cx, high, low), float(greatest - least))
    scale = limited(cx, scale, float(np.finfo(np.float32).eps), None)
    from_low, from_high = over(cx, low, scale), over(cx, high, scale)
    errors = plus(cx, plus(cx, from_low, least), plus(cx, from_high, greatest))
    zero = cx.select(
        errors > 0,
        step(cx, "aten.rsub.Scalar", from_low, least),
        step(cx, "aten.rsub.Scalar", from_high, greatest),
    )
    return _given(cx, scale, rounded(cx, limited(cx, zero, least, greatest)))
