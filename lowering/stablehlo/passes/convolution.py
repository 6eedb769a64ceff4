"""A convolution on channels-last data: as one, as a matmul, or as a sum of shifted products."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from lowering.ir.types import DType
from lowering.stablehlo.hlo import ir, stablehlo
from lowering.stablehlo.passes import winograd
from lowering.stablehlo.passes.rewrite import ELEMENTWISE, cx, permuted, rests_on
from lowering.stablehlo.symbolic import any_symbolic
from lowering.stablehlo.value import Value, broadcast_in_dim

# More taps than these are left to the engine's own kernel: each is an operation.
_MAX_TAPS = 64
# Channels of the input that are many (`Choices.many_channels_as_im2col`).
_MANY = 16
# The rows of a tile of a matmul (`Choices.barrier_after_depthwise`).
_TILE = 16


@dataclass(frozen=True, slots=True)
class Choices:
    """Which convolutions are computed as something else.

    `depthwise_as_shifted_sums`: depthwise ones, as sums of shifted products. `winograd`: 3x3 ones of float32,
    as matmuls of transformed tiles. Others as one matmul of neighbours side by side (im2col).
    `float16_as_im2col` is for float16 and bfloat16, `one_axis_as_im2col` for one spatial axis,
    `many_channels_as_im2col` for many input channels. `barrier_after_depthwise`: kernels of one tap do not
    fuse with a depthwise convolution before them. `bfloat16_through_float32`: operands of bfloat16 are
    converted to float32.
    """

    depthwise_as_shifted_sums: bool = False
    winograd: bool = False
    float16_as_im2col: bool = False
    one_axis_as_im2col: bool = False
    many_channels_as_im2col: bool = False
    barrier_after_depthwise: bool = False
    bfloat16_through_float32: bool = False


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution in torch's layout: [batch, channels, space...] with [out, in / groups, taps...]."""

    input: Value
    kernel: Value
    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    lhs_dilation: tuple[int, ...]
    rhs_dilation: tuple[int, ...]
    groups: int
    result: Value

    @property
    def spatial(self) -> int:
        return self.input.rank - 2

    @property
    def is_product(self) -> bool:
        """Whether each output point depends on one input point."""
        single = all(size == 1 for size in (*self.kernel.shape[2:], *self.lhs_dilation))
        return single and self.groups == 1 and not any(map(any, self.padding))

    @property
    def is_patches(self) -> bool:
        """Whether each input point is met once: strides as long as the kernel, nothing between or around."""
        plain = all(step == 1 for step in (*self.lhs_dilation, *self.rhs_dilation, self.groups))
        return plain and self.kernel.shape[2:] == self.strides and not any(map(any, self.padding))

    @property
    def is_dense(self) -> bool:
        """Whether each result is a sum over all channels and few taps."""
        plain = self.groups == 1 and all(step == 1 for step in self.lhs_dilation)
        return plain and prod(self.kernel.shape[2:]) <= _MAX_TAPS

    @property
    def is_depthwise(self) -> bool:
        """Whether each channel has a kernel of its own, of few taps."""
        out, inner, *taps = self.kernel.shape
        alone = inner == 1 and out == self.groups == self.input.shape[1] and out > 1
        count = 1
        for size in taps:
            count *= size
        return alone and count <= _MAX_TAPS and all(step == 1 for step in self.lhs_dilation)


def read_convolution(op: Any) -> Convolution | None:
    """A convolution operation in torch's layout; None for another operation or layout."""
    if op.operation.name != "stablehlo.convolution":
        return None
    rank = Value(op.lhs).rank
    space = list(range(2, rank))
    numbers = stablehlo.ConvDimensionNumbers(op.dimension_numbers)
    found = [
        numbers.input_batch_dimension, numbers.input_feature_dimension,
        numbers.kernel_output_feature_dimension, numbers.kernel_input_feature_dimension,
        numbers.output_batch_dimension, numbers.output_feature_dimension,
    ]  # fmt: skip
    spaces = (
        numbers.input_spatial_dimensions, numbers.kernel_spatial_dimensions, numbers.output_spatial_dimensions
    )  # fmt: skip
    if found != [0, 1] * 3 or any(list(axes) != space for axes in spaces):
        return None
    if _ints(op, "batch_group_count", 1) != (1,) or any(op.window_reversal or ()):
        return None
    count = rank - 2
    pads = op.attributes.get("padding", None)
    flat = [int(n) for n in ir.DenseIntElementsAttr(pads)] if pads is not None else [0] * (2 * count)
    return Convolution(
        Value(op.lhs),
        Value(op.rhs),
        _ints(op, "window_strides", count),
        tuple((flat[2 * i], flat[2 * i + 1]) for i in range(count)),
        _ints(op, "lhs_dilation", count),
        _ints(op, "rhs_dilation", count),
        _ints(op, "feature_group_count", 1)[0],
        Value(op.result),
    )


def is_taken(op: Any) -> bool:
    """Whether a convolution of any layout stays one: a call says no size, or only its batch, and it has one
    group."""
    batch = stablehlo.ConvDimensionNumbers(op.dimension_numbers).input_batch_dimension
    input = Value(op.lhs).shape
    if any_symbolic((*input[:batch], *input[batch + 1 :], *Value(op.rhs).shape)):
        return False
    grouped = any(_ints(op, name, 1) != (1,) for name in ("feature_group_count", "batch_group_count"))
    return not grouped or not any_symbolic(input)


def _ints(op: Any, name: str, count: int) -> tuple[int, ...]:
    """An attribute of integers, whose default is ones."""
    if name not in op.attributes:
        return (1,) * count
    attribute = op.attributes[name]
    if isinstance(attribute, ir.IntegerAttr):
        return (attribute.value,)
    return tuple(int(n) for n in ir.DenseI64ArrayAttr(attribute))


# ------------------------------------------------------------------------------ channels last


def convolve_channels_last(found: Convolution, choices: Choices, weights: set[ir.Value]) -> Value:
    """The convolution on [batch, space..., channels]."""
    space = range(2, found.spatial + 2)
    input = permuted(found.input, (0, *space, 1))
    if found.is_product:
        return _product(found, _behind_barrier(input) if choices.barrier_after_depthwise else input)
    kernel = permuted(found.kernel, (*space, 1, 0))
    if choices.bfloat16_through_float32 and input.dtype is DType.BFLOAT16:
        input, kernel = (cx.convert(value, DType.FLOAT32) for value in (input, kernel))
    if found.is_patches:
        return _patches(found, input, kernel)
    if choices.depthwise_as_shifted_sums and found.is_depthwise:
        return _shifted_sums(found, input, kernel)
    if found.is_depthwise:
        # Engines may refuse depthwise convolutions of float16 that sum in float32.
        input, kernel = (cx.convert(value, found.result.dtype) for value in (input, kernel))
    if choices.winograd and _suits_winograd(found, input.dtype) and rests_on(found.kernel.ir, weights):
        return winograd.convolve(input, kernel, found.padding)
    side_by_side = (
        (choices.float16_as_im2col and input.dtype.is_half)
        or (choices.one_axis_as_im2col and found.spatial == 1)
        or (choices.many_channels_as_im2col and found.kernel.shape[1] >= _MANY)
    )
    if side_by_side and found.is_dense:
        return _im2col(found, input, kernel)
    digits = "".join(map(str, range(found.spatial)))
    return cx.convolution(
        input,
        kernel,
        layout=(f"b{digits}f", f"{digits}io", f"b{digits}f"),
        strides=found.strides,
        padding=found.padding,
        lhs_dilation=found.lhs_dilation,
        rhs_dilation=found.rhs_dilation,
        groups=found.groups,
        out=found.result.dtype,
    )


def by_shifting(found: Convolution, input: Value, kernel: Value) -> Value:
    """The convolution of channels-last operands without one: as a matmul, or as a sum for each tap.

    It has one group, or is depthwise.
    """
    shifted = _shifted_sums if found.is_depthwise else _im2col
    return shifted(found, input, kernel)


def _suits_winograd(found: Convolution, dtype: DType) -> bool:
    """Halves would round the transforms of their input."""
    out, inner, *taps = found.kernel.shape
    steps = (*found.strides, *found.lhs_dilation, *found.rhs_dilation, found.groups)
    return dtype is DType.FLOAT32 is found.result.dtype and winograd.fits(tuple(taps), steps, (inner, out))


def _product(found: Convolution, input: Value) -> Value:
    """Kernels of one tap, as a product over channels of the points that the strides meet."""
    met = cx.slice(input, [0] * input.rank, input.shape, [1, *found.strides, 1])
    kernel = cx.reshape(found.kernel, found.kernel.shape[:2])
    return cx.dot_general(met, kernel, ([input.rank - 1], [1]), out=found.result.dtype)


def _behind_barrier(input: Value) -> Value:
    """The input of a matmul, made before it where a depthwise convolution makes it.

    An engine may make a matmul's rows in tiles, if the tile divides the images' rows. A depthwise convolution
    is then computed by these tiles, a channel at a time.
    """
    if (
        any_symbolic(input.shape)
        or input.shape[0] == 1
        or input.shape[-2] % _TILE
        or not _is_made_depthwise(input)
    ):
        return input
    return Value(stablehlo.OptimizationBarrierOp([input.ir]).results[0])


def _is_made_depthwise(value: Value) -> bool:
    """Whether a depthwise convolution and operations by elements on it make a value."""
    left, seen = [value.ir], set[ir.Value]()
    while left:
        owner = left.pop().owner
        if isinstance(owner, ir.Block):
            continue
        if owner.name == "stablehlo.convolution":
            groups = _ints(owner.opview, "feature_group_count", 1)[0]
            if groups > 1 and groups == Value(owner.results[0]).shape[-1]:
                return True
        elif owner.name in ELEMENTWISE or owner.name == "stablehlo.transpose":
            left += [operand for operand in owner.operands if operand not in seen]
            seen.update(owner.operands)
    return False


def _patches(found: Convolution, input: Value, kernel: Value) -> Value:
    """A product of patches that do not overlap: [batch, result's space..., taps x in], times the kernel."""
    sizes = found.result.shape[2:]
    used = [size * step for size, step in zip(sizes, found.strides, strict=True)]
    batch, channels = input.shape[0], input.shape[-1]
    met = cx.slice(input, [0] * input.rank, [batch, *used, channels])
    apart = [n for pair in zip(sizes, found.strides, strict=True) for n in pair]
    rank = found.spatial
    order = (0, *range(1, 2 * rank, 2), *range(2, 2 * rank + 1, 2), 2 * rank + 1)
    patches = cx.transpose(cx.reshape(met, (batch, *apart, channels)), order)
    rows = cx.reshape(patches, (batch, *sizes, prod(kernel.shape[:-1])))
    matrix = cx.reshape(kernel, (rows.shape[-1], kernel.shape[-1]))
    return cx.dot_general(rows, matrix, ([rows.rank - 1], [0]), out=found.result.dtype)


def _im2col(found: Convolution, input: Value, kernel: Value) -> Value:
    """One product: each place beside its neighbours, [batch, space..., taps x in], times [taps x in, out]."""
    columns = cx.concatenate([piece for _, piece in _shifted(found, input)], input.rank - 1)
    matrix = cx.reshape(kernel, (columns.shape[-1], kernel.shape[-1]))
    return cx.dot_general(columns, matrix, ([columns.rank - 1], [0]), out=found.result.dtype)


def _shifted(found: Convolution, input: Value) -> Iterator[tuple[tuple[int, ...], Value]]:
    """For each tap its place in the kernel, and the points that it meets: [batch, result's space..., in]."""
    low, high = ([0, *(pair[side] for pair in found.padding), 0] for side in (0, 1))
    padded = cx.pad(input, low, high)
    sizes = found.result.shape[2:]
    for place in product(*map(range, found.kernel.shape[2:])):
        start = [step * at for step, at in zip(found.rhs_dilation, place, strict=True)]
        limit = [
            first + (size - 1) * stride + 1
            for first, size, stride in zip(start, sizes, found.strides, strict=True)
        ]
        points = cx.slice(
            padded, [0, *start, 0], [padded.shape[0], *limit, padded.shape[-1]], [1, *found.strides, 1]
        )
        yield place, points


def _shifted_sums(found: Convolution, input: Value, kernel: Value) -> Value:
    """A depthwise convolution as one multiplication and addition per tap, which engines fuse."""
    dtype = found.result.dtype
    kernel = cx.convert(kernel, dtype)
    total: Value | None = None
    for place, points in _shifted(found, cx.convert(input, dtype)):
        weight = cx.reshape(
            cx.slice(
                kernel, [*place, 0, 0], [*(at + 1 for at in place), 1, kernel.shape[-1]]
            ),
            (kernel.shape[-1],),
        )  # fmt: skip
        term = points * broadcast_in_dim(weight, points.shape, (points.rank - 1,))
        total = term if total is None else total + term
    assert total is not None, "a kernel has a tap"
    return total
