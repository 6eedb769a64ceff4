"""Normalisations: by moments of a layer, a group, a batch; by a root mean square; of weights."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from lowering.ir.types import DType
from lowering.stablehlo.context import ConcreteType, Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.ops.moments import square_deviations
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.symbolic import is_symbolic
from lowering.stablehlo.value import Value, numpy_dtype

# Of the real parts of complex numbers too.
EPSILON = {
    DType.FLOAT32: 2.0**-23,
    DType.FLOAT64: 2.0**-52,
    DType.COMPLEX64: 2.0**-23,
    DType.COMPLEX128: 2.0**-52,
}


def _wide(cx: Context, value: Value) -> Value:
    """In the type eager computes in: float32 for halves."""
    return cx.convert(value, cx.compute_dtype(value.dtype))


def _fit(cx: Context, values: Sequence[Value]) -> tuple[Value, ...]:
    """Results in the types that the program states. A statistic that eager leaves out has size 0 there."""

    def fit(value: Value, out: ConcreteType) -> Value:
        if 0 in out.shape and value.size:
            return cx.constant(0, out.dtype, out.shape)
        return cx.reshape(cx.convert(value, out.dtype), out.shape)

    return tuple(fit(value, out) for value, out in zip(values, cx.outs, strict=False))


def _affine(cx: Context, value: Value, weight: Value | None, bias: Value | None) -> Value:
    """`value * weight + bias`, broadcast from the last axes."""
    if weight is not None:
        value = value * cx.convert(weight, value.dtype)
    return value if bias is None else value + cx.convert(bias, value.dtype)


def _standardise(cx: Context, value: Value, axes: Sequence[int], eps: float) -> tuple[Value, Value, Value]:
    """(value - mean) / sqrt(var + eps); the mean; the reciprocal root; statistics with the axes kept."""
    total, mean, deviations = square_deviations(cx, value, axes)
    rstd = cx.rsqrt(total / prod(value.shape[axis] for axis in axes) + eps)
    return deviations * rstd, mean, rstd


@lowers("aten.layer_norm.default", "aten.native_layer_norm.default")
def layer_norm(
    cx: Context,
    input: Value,
    normalized_shape: Sequence[int],
    weight: Value | None,
    bias: Value | None,
    eps: float,
    cudnn_enable: bool = True,
) -> tuple[Value, ...]:
    value = _wide(cx, input)
    axes = range(input.rank - len(normalized_shape), input.rank)
    normal, mean, rstd = _standardise(cx, value, axes, eps)
    return _fit(cx, (_affine(cx, normal, weight, bias), mean, rstd))


@lowers("aten.rms_norm.default", "aten._fused_rms_norm.default")
def rms_norm(
    cx: Context, input: Value, normalized_shape: Sequence[int], weight: Value | None, eps: float | None
) -> tuple[Value, ...]:
    value = _wide(cx, input)
    if eps is None:
        eps = EPSILON[value.dtype]
    axes = range(input.rank - len(normalized_shape), input.rank)
    count = prod(normalized_shape)
    rstd = cx.rsqrt(cx.reduce_sum(value * value, axes, keepdim=True) / count + eps)
    return _fit(cx, (_affine(cx, value * rstd, weight, None), rstd))


def _per_channel(cx: Context, value: Value | None, rank: int) -> Value | None:
    """[C] as [C, 1, 1, ...], to go with [N, C, ...]."""
    return None if value is None else cx.reshape(value, (-1, *(1,) * (rank - 2)))


@lowers("aten.group_norm.default", "aten.native_group_norm.default")
def group_norm(
    cx: Context,
    input: Value,
    weight: Value | None,
    bias: Value | None,
    eps: float,
    num_groups: int = 0,
    group: int = 0,
    N: int = 0,
    C: int = 0,
    HxW: int = 0,
    cudnn_enabled: bool = True,
) -> tuple[Value, ...]:
    if not input.size:
        raise Unsupported("an empty input")
    grouped = cx.reshape(_wide(cx, input), (input.shape[0], num_groups or group, -1))
    normal, mean, rstd = _standardise(cx, grouped, [2], eps)
    normal = cx.reshape(normal, input.shape)
    scale, shift = (_per_channel(cx, value, input.rank) for value in (weight, bias))
    return _fit(cx, (_affine(cx, normal, scale, shift), mean, rstd))


def _scale_shift(
    cx: Context, value: Value, mean: Value, rstd: Value, weight: Value | None, bias: Value | None
) -> Value:
    """Batch normalisation as eager does it: one multiplication and one addition per element."""
    scale = rstd if weight is None else rstd * cx.convert(weight, value.dtype)
    shift = -mean * scale if bias is None else cx.convert(bias, value.dtype) - mean * scale
    scale, shift = (cx.reshape(v, (-1, *(1,) * (value.rank - 2))) for v in (scale, shift))
    return value * scale + shift


def _steps(input: Value, *parameters: Value | None) -> tuple[DType, DType]:
    """The dtypes of eager's roundings: of a batch's mean and reciprocal root, and of each step to them and to
    the running statistics."""
    wide = any(p is not None and p.dtype is not input.dtype for p in parameters)
    kept = DType.FLOAT32 if input.dtype.is_half and wide else input.dtype
    return kept, DType.FLOAT32 if kept is DType.FLOAT16 else kept


def _held(dtype: DType, number: float) -> float:
    return float(np.asarray(number, numpy_dtype(dtype)))


def _count(cx: Context, steps: DType, count: int, dtype: DType) -> Value | float:
    """A number of elements as `steps` holds it."""
    if is_symbolic(count):
        return cx.convert(cx.constant(count, steps), dtype)
    return _held(steps, count)


def _updated(
    cx: Context, running: Sequence[Value], batch: Sequence[Value], momentum: float, steps: DType
) -> list[Value]:
    """The running mean and variance after a batch of this mean and (unbiased) variance, each [C]."""
    share = _held(steps, momentum)
    rest = _held(steps, 1 - share)
    old = [cx.rounded(_wide(cx, v) * rest, steps) for v in running]
    mean, variance = (v * share for v in batch)
    new = (cx.rounded(mean, steps), variance)
    return [
        cx.convert(a + cx.convert(b, a.dtype), v.dtype) for a, b, v in zip(old, new, running, strict=True)
    ]


def _batch_norm(
    cx: Context,
    input: Value,
    weight: Value | None,
    bias: Value | None,
    running_mean: Value | None,
    running_var: Value | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[list[Value], list[Value]]:
    """(y, batch mean, reciprocal root), and the running statistics after the call where there are any."""
    value = _wide(cx, input)
    running = [v for v in (running_mean, running_var) if v is not None]
    if not training:
        if running_mean is None or running_var is None:
            raise Unsupported("evaluates without running statistics")
        mean = cx.convert(running_mean, value.dtype)
        rstd = 1.0 / cx.sqrt(cx.convert(running_var, value.dtype) + eps)
        return [_scale_shift(cx, value, mean, rstd, weight, bias), mean, rstd], running
    axes = [axis for axis in range(input.rank) if axis != 1]
    count = prod(input.shape[axis] for axis in axes)
    kept, steps = _steps(input, weight, bias, running_mean, running_var)
    total, mean, deviations = square_deviations(cx, value, axes)
    total = cx.rounded(total, steps)
    rstd = 1.0 / cx.sqrt(cx.rounded(total / _count(cx, steps, count, total.dtype), steps) + eps)
    if kept.is_half:
        flat_mean, flat_rstd = (cx.reshape(cx.rounded(v, kept), (input.shape[1],)) for v in (mean, rstd))
        result = _scale_shift(cx, value, flat_mean, flat_rstd, weight, bias)
    else:
        # The deviation first: a mean far from 0 would cost digits in value * scale + shift.
        scale, shift = (_per_channel(cx, v, input.rank) for v in (weight, bias))
        result = _affine(cx, deviations * rstd, scale, shift)
    if len(running) == 2:
        unbiased = cx.rounded(total / _count(cx, steps, count - 1, total.dtype), steps)
        batch = [cx.reshape(v, (input.shape[1],)) for v in (cx.rounded(mean, steps), unbiased)]
        running = _updated(cx, running, batch, momentum, steps)
    return [result, mean, rstd], running


@lowers("aten.batch_norm.default")
def batch_norm(
    cx: Context,
    input: Value,
    weight: Value | None,
    bias: Value | None,
    running_mean: Value | None,
    running_var: Value | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> tuple[Value, ...]:
    """In training, the running statistics after the call follow the result."""
    if not input.size:
        running = [v for v in (running_mean, running_var) if v is not None] if training else []
        return (cx.constant(0, cx.out.dtype, cx.out.shape), *running)
    results, running = _batch_norm(
        cx, input, weight, bias, running_mean, running_var, training, momentum, eps
    )
    return _fit(cx, [results[0], *running])


@lowers(
    "aten.native_batch_norm.default",
    "aten._native_batch_norm_legit.default",
    "aten._native_batch_norm_legit.no_stats",
    "aten._native_batch_norm_legit_no_training.default",
    "aten._native_batch_norm_legit_functional.default",
)
def native_batch_norm(
    cx: Context,
    input: Value,
    weight: Value | None,
    bias: Value | None,
    momentum: float,
    eps: float,
    running_mean: Value | None = None,
    running_var: Value | None = None,
    training: bool = False,
) -> tuple[Value, ...]:
    results, running = _batch_norm(
        cx, input, weight, bias, running_mean, running_var, training, momentum, eps
    )
    return _fit(cx, [*results, *running])


@lowers("aten.instance_norm.default")
def instance_norm(
    cx: Context,
    input: Value,
    weight: Value | None,
    bias: Value | None,
    running_mean: Value | None,
    running_var: Value | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> tuple[Value, ...]:
    """With input statistics, the running statistics after the call follow the result.

    It is a batch normalisation of one batch that has the channels of each instance. Each instance moves a
    copy of the running statistics; their mean is kept.
    """
    instances, channels = input.shape[:2]
    flat = (instances * channels,)

    def copied(parameter: Value | None) -> Value | None:
        return None if parameter is None else cx.reshape(cx.broadcast(parameter, (instances, channels)), flat)

    weight, bias, running_mean, running_var = map(copied, (weight, bias, running_mean, running_var))
    rows = cx.reshape(input, (1, *flat, *input.shape[2:]))
    results, running = _batch_norm(
        cx, rows, weight, bias, running_mean, running_var, use_input_stats, momentum, eps
    )
    kept = [cx.reduce_sum(_wide(cx, cx.reshape(v, (instances, channels))), 0) / instances for v in running]
    return _fit(cx, [results[0], *(kept if use_input_stats else [])])


def _norm_except(cx: Context, v: Value, dim: int) -> Value:
    """The 2-norm over all axes but one, kept; over all of them for dim -1, as torch has it."""
    value = _wide(cx, v)
    axes = [axis for axis in range(v.rank) if dim == -1 or axis != dim]
    return cx.sqrt(cx.reduce_sum(value * value, axes, keepdim=True)) if axes else cx.abs(value)


@lowers("aten._weight_norm.default", "aten._weight_norm_interface.default")
def weight_norm(cx: Context, v: Value, g: Value, dim: int = 0) -> tuple[Value, ...]:
    norms = _norm_except(cx, v, dim)
    scaled = _wide(cx, v) * (cx.convert(g, norms.dtype) / norms)
    return _fit(cx, (scaled, norms))


@lowers("aten.norm_except_dim.default")
def norm_except_dim(cx: Context, v: Value, pow: int = 2, dim: int = 0) -> tuple[Value, ...]:
    if pow != 2:
        raise Unsupported(f"pow={pow} is not lowered")
    return _fit(cx, (_norm_except(cx, v, dim),))
