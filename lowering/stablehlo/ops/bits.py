"""Operations on the bits of floating-point numbers that several families share."""

from __future__ import annotations

import numpy as np

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.value import Value, numpy_dtype

_SAME_WIDTH = {1: DType.INT8, 2: DType.INT16, 4: DType.INT32, 8: DType.INT64}


def bits_of(cx: Context, x: Value) -> Value:
    """The bits as a signed integer of the same width."""
    return cx.bitcast(x, _SAME_WIDTH[x.dtype.itemsize])


def is_negative(cx: Context, x: Value) -> Value:
    """Whether the sign bit is set: true for -0.0 and for NaN with that bit."""
    return bits_of(cx, x) < 0


def power_of_two(cx: Context, whole: Value) -> Value:
    """2 ** whole for integral values of a floating type, within its normal exponents."""
    digits = int(np.finfo(numpy_dtype(whole.dtype)).nmant)
    bias = (1 << 8 * whole.dtype.itemsize - 2 - digits) - 1
    exponent = cx.convert(whole, _SAME_WIDTH[whole.dtype.itemsize]) + bias
    return cx.bitcast(cx.shift_left(exponent, digits), whole.dtype)
