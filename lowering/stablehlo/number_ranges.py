"""Numbers from the data that eager refuses to convert: they must be ones of the tensor's element type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lowering.host.tensors import numpy_dtype
from lowering.ir.facts.conversions import converts
from lowering.ir.types import DType
from lowering.stablehlo.bounds import interval
from lowering.stablehlo.context import Context
from lowering.stablehlo.data_number import is_data_number
from lowering.stablehlo.hlo import dtype_of, ir
from lowering.stablehlo.value import Value


def check_ranges(cx: Context, target: str, arguments: Mapping[str, Any]) -> None:
    """Have the module check the numbers that an operator converts to the element type of its result.

    Others wrap around, or become infinite: the operands of arithmetic and comparisons.
    """
    for name, number in arguments.items():
        if is_data_number(number) and converts(target, name):
            _check(cx, number.value, cx.out.dtype)


def _check(cx: Context, number: Value, dtype: DType) -> None:
    message = f"value cannot be converted to type {dtype} without overflow"
    if dtype is DType.BOOL or dtype.is_complex or number.dtype is DType.BOOL:
        return
    if dtype.is_floating:
        most = float(_limits(dtype).max)
        if not _was(number, dtype) and number.dtype is DType.FLOAT64:
            size = cx.abs(number)
            cx.fail_if((size > most) & (size != float("inf")), message)
        elif number.dtype is DType.INT64 and most < 1 << 63:
            cx.fail_if((number > int(most)) | (number < -int(most)), message)
        return
    most = int(_limits(dtype).max)
    # Eager lets a negative number wrap around once in an unsigned type.
    least = int(_limits(dtype).min) or -most
    if number.dtype is DType.INT64:
        known = interval(number.ir)
        if known.low < least or known.high > most:
            cx.fail_if((number < least) | (number > most), message)


def _limits(dtype: DType) -> Any:
    if dtype is DType.BFLOAT16 or "float8" in dtype.value:
        from ml_dtypes import finfo

        return finfo(numpy_dtype(dtype))
    return np.finfo(numpy_dtype(dtype)) if dtype.is_floating else np.iinfo(numpy_dtype(dtype))


def _was(number: Value, dtype: DType) -> bool:
    """Whether a float64 was taken from a tensor whose numbers an element type holds."""
    owner = number.ir.owner
    if isinstance(owner, ir.Block) or owner.name != "stablehlo.convert":
        return dtype is DType.FLOAT64
    source = dtype_of(ir.RankedTensorType(owner.operands[0].type).element_type)
    return source is dtype or (source.is_half and dtype is DType.FLOAT32) or dtype is DType.FLOAT64
