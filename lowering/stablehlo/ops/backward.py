"""Gradients that training graphs call by name: normalisation, convolution, embedding, attention.

A result that the output mask leaves out is none of the node's, and none of the rule's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from lowering.ir.types import DType
from lowering.stablehlo.context import ConcreteType, Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.ops.attention import score_scale
from lowering.stablehlo.ops.spatial import per_axis
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.size_questions import are_equal, at_most
from lowering.stablehlo.value import Value

INF = float("inf")


def _masked(cx: Context, mask: Sequence[bool], *makers: Callable[[], Value] | None) -> tuple[Value, ...]:
    """The results that the mask asks for and that there are, each rounded once."""
    made = [make() for asked, make in zip(mask, makers, strict=True) if asked and make]
    return tuple(
        cx.convert(cx.reshape(value, out.shape), out.dtype) for value, out in zip(made, cx.outs, strict=True)
    )


# ------------------------------------------------------------------------------ normalisation


@lowers("aten.native_layer_norm_backward.default")
def layer_norm_backward(
    cx: Context,
    grad_out: Value,
    input: Value,
    normalized_shape: Sequence[int],
    mean: Value,
    rstd: Value,
    weight: Value | None,
    bias: Value | None,
    output_mask: Sequence[bool],
) -> tuple[Value, ...]:
    """The parameters' gradients of halves are summed in float32; eager sums a part per thread in halves."""
    width = prod(normalized_shape)
    rows = prod(input.shape[: input.rank - len(normalized_shape)])
    compute = cx.compute_dtype(input.dtype)
    grad, x, mean, rstd = (
        cx.reshape(cx.convert(value, compute), (rows, value.size // rows if rows else size))
        for value, size in ((grad_out, width), (input, width), (mean, 1), (rstd, 1))
    )
    normal = (x - mean) * rstd

    def to_input() -> Value:
        scaled = grad
        if weight is not None:
            scaled = grad * cx.reshape(cx.convert(weight, compute), (1, width))
        total = cx.reduce_sum(scaled, 1, keepdim=True)
        along = cx.reduce_sum(scaled * normal, 1, keepdim=True)
        return (scaled - total / width - normal * (along / width)) * rstd

    return _masked(
        cx,
        output_mask,
        to_input,
        None if weight is None else lambda: cx.reduce_sum(grad * normal, 0),
        None if bias is None else lambda: cx.reduce_sum(grad, 0),
    )


@lowers("aten.native_group_norm_backward.default")
def group_norm_backward(
    cx: Context,
    grad_out: Value,
    input: Value,
    mean: Value,
    rstd: Value,
    weight: Value | None,
    N: int,
    C: int,
    HxW: int,
    group: int,
    output_mask: Sequence[bool],
) -> tuple[Value, ...]:
    compute = cx.compute_dtype(input.dtype)
    shape = (N, group, C // group, HxW)
    grad, x = (cx.reshape(cx.convert(value, compute), shape) for value in (grad_out, input))
    mean, rstd = (cx.reshape(cx.convert(value, compute), (N, group, 1, 1)) for value in (mean, rstd))
    normal = (x - mean) * rstd
    count = C // group * HxW

    def to_input() -> Value:
        scaled = grad
        if weight is not None:
            scaled = grad * cx.reshape(cx.convert(weight, compute), (1, group, C // group, 1))
        total = cx.reduce_sum(scaled, (2, 3), keepdim=True)
        along = cx.reduce_sum(scaled * normal, (2, 3), keepdim=True)
        return (scaled - total / count - normal * (along / count)) * rstd

    return _masked(
        cx,
        output_mask,
        to_input,
        None if weight is None else lambda: cx.reduce_sum(grad * normal, (0, 3)),
        lambda: cx.reduce_sum(grad, (0, 3)),
    )


# ------------------------------------------------------------------------------ convolution


@lowers("aten.convolution_backward.default")
def convolution_backward(
    cx: Context,
    grad_output: Value,
    input: Value,
    weight: Value,
    bias_sizes: Sequence[int] | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    output_mask: Sequence[bool],
) -> tuple[Value, ...]:
    if input.dtype is DType.FLOAT16:
        raise Unsupported("eager adds up the gradients of a convolution of float16 in halves")
    axes = weight.rank - 2
    stride, padding, dilation = (per_axis(value, axes) for value in (stride, padding, dilation))

    def to_input() -> Value:
        """The gradient convolved the other way; a strided convolution may have left an end unread."""
        if not grad_output.size:
            return cx.constant(0, input.dtype, input.shape)
        extra = [0] * axes
        if not transposed:
            taken = [
                (out - 1) * stride[i] - 2 * padding[i] + dilation[i] * (taps - 1) + 1
                for i, (out, taps) in enumerate(zip(grad_output.shape[2:], weight.shape[2:], strict=True))
            ]
            extra = [size - reach for size, reach in zip(input.shape[2:], taken, strict=True)]
        return cx.call(
            "aten.convolution.default", grad_output, weight, None, stride, padding, dilation, not transposed,
            extra, groups, outs=[ConcreteType(input.dtype, input.shape)],
        )  # fmt: skip

    def to_weight() -> Value:
        wide, narrow = (grad_output, input) if transposed else (input, grad_output)
        return _correlate(cx, wide, narrow, weight.shape[2:], stride, padding, dilation, groups)

    def to_bias() -> Value:
        exact = cx.convert(grad_output, cx.compute_dtype(grad_output.dtype))
        return cx.reduce_sum(exact, [axis for axis in range(exact.rank) if axis != 1])

    return _masked(cx, output_mask, to_input, to_weight, to_bias)


def _correlate(
    cx: Context,
    wide: Value,
    narrow: Value,
    taps: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Value:
    """[O, C / groups, taps]: the sum over batch and places y of narrow[n, o, y] * wide[n, c, y stride +
    tap dilation - padding]. As a convolution: channels are its batch, the batch its features, `narrow`,
    spread out by the stride, its kernel."""
    batch, channels, *sizes = wide.shape
    kernels = narrow.shape[1]
    shape = (kernels, channels // groups, *taps)
    if not batch or not narrow.size or not wide.size:
        return cx.constant(0, wide.dtype, shape)
    space = range(3, 3 + len(taps))
    grouped = cx.reshape(wide, (batch, groups, channels // groups, *sizes))
    lhs = cx.reshape(cx.transpose(grouped, (2, 1, 0, *space)), (channels // groups, groups * batch, *sizes))
    rhs = cx.move_axis(narrow, 0, 1)
    pads = []
    for axis, size in enumerate(sizes):
        reach = (narrow.shape[2 + axis] - 1) * stride[axis] + 1 + (taps[axis] - 1) * dilation[axis]
        end = reach - size - padding[axis]
        # Elements after the last window are cut off.
        cut = at_most(end, 0)
        lhs = cx.slice_axis(lhs, 2 + axis, 0, size + cut)
        pads.append((padding[axis], end - cut))
    outs = [ConcreteType(wide.dtype, (channels // groups, kernels, *taps))]
    low = [before for before, _ in pads]
    if all(before == behind for before, behind in pads):
        found = cx.call(
            "aten.convolution.default", lhs, rhs, None, dilation, low, stride, False, [0] * len(taps), groups,
            outs=outs,
        )  # fmt: skip
    else:
        lhs = cx.pad(lhs, [0, 0, *low], [0, 0, *(behind for _, behind in pads)])
        found = cx.call(
            "aten.convolution.default", lhs, rhs, None, dilation, [0] * len(taps), stride, False,
            [0] * len(taps), groups, outs=outs,
        )  # fmt: skip
    return cx.move_axis(found, 0, 1)


# ------------------------------------------------------------------------------ embedding


@lowers("aten.embedding_dense_backward.default")
def embedding_dense_backward(
    cx: Context,
    grad_output: Value,
    indices: Value,
    num_weights: int,
    padding_idx: int,
    scale_grad_by_freq: bool,
) -> Value:
    """Rows are added up where their indices point; indices outside of the table count for nothing."""
    count, width = indices.size, cx.out.shape[-1]
    places = cx.reshape(cx.convert(indices, DType.INT64), (count,))
    read = (places >= 0) & (places < num_weights) & (places != padding_idx)
    rows = cx.reshape(grad_output, (count, width))
    if not rows.size or not num_weights:
        return cx.constant(0, cx.out.dtype, cx.out.shape)
    places = cx.clamp(0, places, num_weights - 1)
    at = cx.reshape(places, (count, 1))
    compute = cx.compute_dtype(rows.dtype)
    exact = cx.convert(rows, compute)
    if scale_grad_by_freq:
        ones = cx.convert(read, compute)
        times = cx.scatter(
            cx.constant(0, compute, (num_weights,)), at, ones, lambda old, new: old + new,
            update_window_dims=[], inserted_dims=[0], scatter_map=[0],
        )  # fmt: skip
        exact = exact / cx.reshape(cx.take(cx.maximum(times, 1), places), (count, 1))
    exact = cx.select(cx.reshape(read, (count, 1)), exact, 0)
    # One after the other in the type of the table, rounded each time, as eager has it.
    return cx.scatter(
        cx.constant(0, cx.out.dtype, cx.out.shape), at, cx.convert(exact, cx.out.dtype),
        lambda old, new: old + new, update_window_dims=[1], inserted_dims=[0], scatter_map=[0],
    )  # fmt: skip


# ------------------------------------------------------------------------------ attention


@lowers("aten._scaled_dot_product_flash_attention_for_cpu_backward.default")
def flash_attention_backward(
    cx: Context,
    grad_out: Value,
    query: Value,
    key: Value,
    value: Value,
    out: Value,
    logsumexp: Value,
    dropout_p: float,
    is_causal: bool,
    attn_mask: Value | None,
    scale: float | None,
) -> tuple[Value, ...]:
    """From the log-sum-exp of the scores; halves as in the forward pass."""
    if dropout_p:
        raise Unsupported("dropout draws random numbers")
    if not are_equal(query.shape[:-2], key.shape[:-2]):
        raise Unsupported("grouped queries in the flash kernel")
    batch = (range(query.rank - 2), range(query.rank - 2))
    rows, columns = query.rank - 2, query.rank - 1
    scores = cx.dot_general(query, key, ([columns], [columns]), batch)
    factor = score_scale(cx, query.shape[-1], scores.dtype) if scale is None else scale
    scores = scores * factor
    if is_causal:
        at = [cx.iota(DType.INT32, scores.shape[-2:], axis) for axis in (0, 1)]
        scores = cx.select(at[1] <= at[0], scores, -INF)
    if attn_mask is not None:
        bool_mask = attn_mask.dtype is DType.BOOL
        scores = (
            cx.select(attn_mask, scores, -INF) if bool_mask else scores + cx.convert(attn_mask, scores.dtype)
        )
    exact = scores.dtype
    weights = cx.exp(scores - cx.unsqueeze(cx.convert(logsumexp, exact), -1))
    along = cx.reduce_sum(cx.convert(grad_out, exact) * cx.convert(out, exact), columns, keepdim=True)
    steep = (cx.dot_general(grad_out, value, ([columns], [columns]), batch) - along) * weights
    weights, steep = cx.convert(weights, value.dtype), cx.convert(steep, query.dtype)
    grads = (
        cx.dot_general(steep, key, ([columns], [rows]), batch) * factor,
        cx.dot_general(steep, query, ([rows], [rows]), batch) * factor,
        cx.dot_general(weights, grad_out, ([rows], [rows]), batch),
    )
    return tuple(cx.convert(grad, made.dtype) for grad, made in zip(grads, cx.outs, strict=True))
