"""Reductions, windows, sorting: the operations with a body."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lowering.ir.types import DType
from lowering.stablehlo.build.shape import Shapes, normalise_axes, normalise_axis
from lowering.stablehlo.hlo import dense, ir, stablehlo
from lowering.stablehlo.size_questions import fits
from lowering.stablehlo.value import Scalar, Value, constant, numpy_dtype, tensor_type

Body = Callable[..., Value | tuple[Value, ...]]


def lowest(dtype: DType) -> Scalar:
    """The identity of max: -inf, the smallest integer, False."""
    if dtype is DType.BOOL:
        return False
    return int(np.iinfo(numpy_dtype(dtype)).min) if dtype.is_integer else float("-inf")


def highest(dtype: DType) -> Scalar:
    """The identity of min: inf, the largest integer, True."""
    if dtype is DType.BOOL:
        return True
    return int(np.iinfo(numpy_dtype(dtype)).max) if dtype.is_integer else float("inf")


def fill_region(region: ir.Region, dtypes: Sequence[DType], body: Body) -> None:
    """Give a region its one block: scalars of these dtypes in, what `body` returns out."""
    types = [tensor_type(dtype, ()) for dtype in dtypes]
    block = region.blocks.append(*types)
    with ir.InsertionPoint(block):
        results = body(*(Value(argument) for argument in block.arguments))
        if isinstance(results, Value):
            results = (results,)
        stablehlo.return_([value.ir for value in results])


class Reductions(Shapes):
    """Reduction vocabulary. No dtype changes: a rule casts to the accumulation type first."""

    def reduce(
        self,
        values: Value | Sequence[Value],
        inits: Scalar | Value | Sequence[Scalar | Value],
        body: Body,
        axes: int | Sequence[int] | None,
        keepdim: bool = False,
    ) -> tuple[Value, ...]:
        """Reduce tensors of one shape together: `body(*accumulators, *elements)` gives new accumulators."""
        operands = [values] if isinstance(values, Value) else list(values)
        starts = list(inits) if isinstance(inits, Sequence) else [inits]
        dims = normalise_axes(axes, operands[0].rank)
        shape = tuple(s for axis, s in enumerate(operands[0].shape) if axis not in dims)
        seeds = [
            s if isinstance(s, Value) else constant(s, v.dtype) for s, v in zip(starts, operands, strict=True)
        ]
        op = stablehlo.ReduceOp(
            [tensor_type(v.dtype, shape) for v in operands],
            [v.ir for v in operands],
            [s.ir for s in seeds],
            list(dims),
        )
        dtypes = [v.dtype for v in operands]
        fill_region(op.regions[0], dtypes + dtypes, body)
        results = tuple(Value(result, shape) for result in op.results)
        if keepdim and operands[0].rank:
            kept = [1 if axis in dims else s for axis, s in enumerate(operands[0].shape)]
            results = tuple(self.reshape(result, kept) for result in results)
        return results

    def reduce_sum(
        self, value: Value, axes: int | Sequence[int] | None = None, keepdim: bool = False
    ) -> Value:
        return self.reduce(value, 0, lambda a, b: a + b, axes, keepdim)[0]

    def reduce_prod(
        self, value: Value, axes: int | Sequence[int] | None = None, keepdim: bool = False
    ) -> Value:
        return self.reduce(value, 1, lambda a, b: a * b, axes, keepdim)[0]

    def reduce_max(
        self, value: Value, axes: int | Sequence[int] | None = None, keepdim: bool = False
    ) -> Value:
        """NaN wins, as in torch."""
        return self.reduce(value, lowest(value.dtype), _maximum, axes, keepdim)[0]

    def reduce_min(
        self, value: Value, axes: int | Sequence[int] | None = None, keepdim: bool = False
    ) -> Value:
        """NaN wins, as in torch."""
        return self.reduce(value, highest(value.dtype), _minimum, axes, keepdim)[0]

    def reduce_and(
        self, value: Value, axes: int | Sequence[int] | None = None, keepdim: bool = False
    ) -> Value:
        return self.reduce(value, True, lambda a, b: a & b, axes, keepdim)[0]

    def reduce_or(
        self, value: Value, axes: int | Sequence[int] | None = None, keepdim: bool = False
    ) -> Value:
        return self.reduce(value, False, lambda a, b: a | b, axes, keepdim)[0]

    def reduce_window(
        self,
        values: Value | Sequence[Value],
        inits: Scalar | Value | Sequence[Scalar | Value],
        body: Body,
        window: Sequence[int],
        strides: Sequence[int],
        padding: Sequence[tuple[int, int]],
        dilation: Sequence[int] | None = None,
        base_dilation: Sequence[int] | None = None,
    ) -> tuple[Value, ...]:
        """Reduce sliding windows; every per-axis argument has one entry per axis of the operands."""
        operands = [values] if isinstance(values, Value) else list(values)
        starts = list(inits) if isinstance(inits, Sequence) else [inits]
        rank = operands[0].rank
        dilation = list(dilation or [1] * rank)
        base_dilation = list(base_dilation or [1] * rank)
        sizes: list[int] = []
        for axis, size in enumerate(operands[0].shape):
            span = (size - 1) * base_dilation[axis] + 1 if size else 0
            span += sum(padding[axis])
            reach = (window[axis] - 1) * dilation[axis] + 1
            sizes.append((span - reach) // strides[axis] + 1 if fits(reach, span) else 0)
        seeds = [
            s if isinstance(s, Value) else constant(s, v.dtype) for s, v in zip(starts, operands, strict=True)
        ]
        op = stablehlo.ReduceWindowOp(
            [tensor_type(v.dtype, tuple(sizes)) for v in operands],
            [v.ir for v in operands],
            [s.ir for s in seeds],
            list(window),
            window_strides=list(strides),
            base_dilations=base_dilation,
            window_dilations=dilation,
            padding=padding_attribute(padding),
        )
        dtypes = [v.dtype for v in operands]
        fill_region(op.regions[0], dtypes + dtypes, body)
        return tuple(Value(result, sizes) for result in op.results)

    def sort(
        self, values: Sequence[Value], axis: int, less: Callable[..., Value], stable: bool = True
    ) -> tuple[Value, ...]:
        """Sort several tensors together along an axis.

        `less(a0, b0, a1, b1, ...)`: whether element a comes before b, a strict weak order.
        """
        op = stablehlo.SortOp(
            [tensor_type(v.dtype, v.shape) for v in values],
            [v.ir for v in values],
            dimension=normalise_axis(axis, values[0].rank),
            is_stable=stable,
        )
        fill_region(op.regions[0], [v.dtype for v in values for _ in range(2)], less)
        return tuple(Value(result, values[0].shape) for result in op.results)


def padding_attribute(padding: Sequence[tuple[int, int]]) -> ir.Attribute:
    """The [rank, 2] attribute of per-axis (low, high) padding."""
    pairs = np.asarray(list(padding), dtype=np.int64).reshape(-1, 2)
    return dense(pairs, tensor_type(DType.INT64, pairs.shape))


def _maximum(a: Value, b: Value) -> Value:
    return Value(stablehlo.maximum(a.ir, b.ir))


def _minimum(a: Value, b: Value) -> Value:
    return Value(stablehlo.minimum(a.ir, b.ir))
