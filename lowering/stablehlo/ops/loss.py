"""Losses. Terms are rounded to the tensor's type before they are reduced, as in eager."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from lowering.ir.module import CheckKind
from lowering.stablehlo.bounds import interval
from lowering.stablehlo.context import Context
from lowering.stablehlo.ops.elementwise import xlogy
from lowering.stablehlo.ops.softmax import log_softmax_of
from lowering.stablehlo.registry import add_rules, lowers
from lowering.stablehlo.value import Value

NONE, MEAN, SUM = 0, 1, 2


def reduced(cx: Context, terms: Value, reduction: int, count: int | None = None) -> Value:
    """The terms, their mean over `count` (all of them), or their sum; halves accumulate in float32."""
    if reduction == NONE:
        return terms
    total = cx.reduce_sum(cx.convert(terms, cx.compute_dtype(terms.dtype)))
    if reduction == MEAN:
        count = terms.size if count is None else count
        total = total / cx.constant(count, total.dtype)
    return cx.convert(total, terms.dtype)


def _loss(fn: Callable[[Context, Value, Value], Value]) -> Callable[..., Value]:
    def rule(cx: Context, self: Value, target: Value, reduction: int) -> Value:
        terms = cx.pointwise(lambda x, y: fn(cx, x, y), self, target, out=cx.out.dtype)
        return reduced(cx, terms, reduction)

    return rule


add_rules((("aten.mse_loss.default", _loss(lambda cx, x, y: (x - y) * (x - y))),))


@lowers("aten.l1_loss.default")
def l1_loss(cx: Context, self: Value, target: Value, reduction: int) -> Value:
    """Of complex numbers, the mean or sum of their differences' sizes."""
    apart = cx.pointwise(lambda x, y: x - y, self, target, out=cx.result_type(self, target))
    return reduced(cx, cx.abs(apart), reduction)


@lowers("aten.soft_margin_loss.default")
def soft_margin_loss(cx: Context, self: Value, target: Value, reduction: int) -> Value:
    """log(1 + exp(-target * self)), rounded after each step: exp of a half is soon infinite."""
    out = cx.out.dtype
    exponent = cx.pointwise(lambda x, y: -y * x, self, target, out=out)
    power = cx.pointwise(cx.exp, cx.opaque(exponent), out=out)
    return reduced(cx, cx.pointwise(cx.log1p, cx.opaque(power), out=out), reduction)


@lowers("aten.smooth_l1_loss.default")
def smooth_l1_loss(cx: Context, self: Value, target: Value, reduction: int, beta: float) -> Value:
    def fn(x: Value, y: Value) -> Value:
        size = cx.abs(x - y)
        if beta == 0:
            return size
        return cx.select(size < beta, 0.5 * size * size / beta, size - 0.5 * beta)

    return reduced(cx, cx.pointwise(fn, self, target, out=cx.out.dtype), reduction)


@lowers("aten.huber_loss.default")
def huber_loss(cx: Context, self: Value, target: Value, reduction: int, delta: float) -> Value:
    def fn(x: Value, y: Value) -> Value:
        size = cx.abs(x - y)
        return cx.select(size <= delta, 0.5 * size * size, delta * (size - 0.5 * delta))

    return reduced(cx, cx.pointwise(fn, self, target, out=cx.out.dtype), reduction)


@lowers("aten.kl_div.default")
def kl_div(cx: Context, self: Value, target: Value, reduction: int, log_target: bool) -> Value:
    def fn(x: Value, y: Value) -> Value:
        return cx.exp(y) * (y - x) if log_target else xlogy(cx, y, y) - y * x

    return reduced(cx, cx.pointwise(fn, self, target, out=cx.out.dtype), reduction)


@lowers("aten.binary_cross_entropy.default")
def binary_cross_entropy(
    cx: Context, self: Value, target: Value, weight: Value | None, reduction: int
) -> Value:
    """Logarithms are bounded at -100, and all but NaN outside [0, 1] is an error, as in eager."""
    for name, value in (("input", self), ("target", target)):
        outside = ~((value >= 0) & (value <= 1))
        cx.fail_if(outside, f"all elements of {name} should be between 0 and 1")

    def fn(x: Value, y: Value, *weights: Value) -> Value:
        terms = (y - 1) * cx.maximum(cx.log1p(-x), -100.0) - y * cx.maximum(cx.log(x), -100.0)
        return terms * weights[0] if weights else terms

    operands = (self, target) if weight is None else (self, target, weight)
    return reduced(cx, cx.pointwise(fn, *operands, out=cx.out.dtype), reduction)


@lowers("aten.binary_cross_entropy_with_logits.default")
def binary_cross_entropy_with_logits(
    cx: Context,
    self: Value,
    target: Value,
    weight: Value | None,
    pos_weight: Value | None,
    reduction: int,
) -> Value:
    """Eager composes it of operations that each round, and so halves are computed as halves."""
    out = cx.out.dtype
    x, y = cx.convert(self, out), cx.convert(target, out)
    log_sigmoid = cx.pointwise(lambda v: cx.minimum(v, 0) - cx.log1p(cx.exp(-cx.abs(v))), x, out=out)
    if pos_weight is not None:
        log_sigmoid = ((cx.convert(pos_weight, out) - 1) * y + 1) * log_sigmoid
    terms = (1 - y) * x - log_sigmoid
    if weight is not None:
        terms = terms * cx.convert(weight, out)
    return reduced(cx, terms, reduction)


@lowers("aten.hinge_embedding_loss.default")
def hinge_embedding_loss(cx: Context, self: Value, target: Value, margin: float, reduction: int) -> Value:
    """Eager rounds the margin, and the distance from it before it adds."""
    out = cx.out.dtype
    limit = cx.as_value(margin, out)
    distance = cx.opaque(cx.pointwise(lambda m, x: cx.maximum(m - x, 0), limit, self, out=out))

    def fn(x: Value, apart: Value, y: Value) -> Value:
        return cx.select(y != 1, apart, 0) + cx.select(y != -1, x, 0)

    return reduced(cx, cx.pointwise(fn, self, distance, target, out=out), reduction)


@lowers("aten.margin_ranking_loss.default")
def margin_ranking_loss(
    cx: Context, input1: Value, input2: Value, target: Value, margin: float, reduction: int
) -> Value:
    """Integers wrap around before the margin makes them floating."""
    out, difference = cx.out.dtype, cx.result_type(input1, input2)
    if difference.is_floating or target.dtype.is_floating:
        terms = cx.pointwise(
            lambda a, b, y: cx.maximum(-y * (a - b) + margin, 0), input1, input2, target, out=out
        )
        return reduced(cx, terms, reduction)
    apart = cx.pointwise(lambda a, b: a - b, input1, input2, out=difference)
    signed = cx.pointwise(lambda y, a: y * a, -target, apart, out=cx.result_type(target, apart))
    return reduced(cx, cx.pointwise(lambda v: cx.maximum(v + margin, 0), signed, out=out), reduction)


def picked(
    cx: Context, self: Value, target: Value, weight: Value | None, ignore_index: int
) -> tuple[Value, Value]:
    """Of class indices: `-weight[target] * self[target]` and `weight[target]`, both 0 where ignored.

    The class axis is 1, or 0 without a batch. A comparison with every class fuses with what made `self`,
    which a gather does not. Both results have the compute type.
    """
    axis = min(self.rank - 1, 1)
    compute = cx.compute_dtype(self.dtype)
    classes = cx.iota(target.dtype, self.shape, axis)
    hit = classes == cx.expand(target, self.shape, axis)
    kept = target != ignore_index
    score = cx.reduce_sum(cx.select(hit, cx.convert(self, compute), 0), axis)
    if weight is None:
        share = cx.convert(kept, compute)
    else:
        spread = cx.broadcast_in_dim(cx.convert(weight, compute), self.shape, (axis,))
        share = cx.select(kept, cx.reduce_sum(cx.select(hit, spread, 0), axis), 0)
    return cx.select(kept, -score * share, 0), share


def _check_classes(cx: Context, target: Value, count: int, ignore_index: int) -> None:
    """Eager's IndexError where a class is neither there nor ignored."""
    known = interval(target.ir)
    if known.low < 0 or known.high >= count:
        outside = (target < 0) | (target >= count)
        message = f"a target is out of bounds for {count} classes"
        cx.fail_if((target != ignore_index) & outside, message, CheckKind.INDEX)


def _nll(
    cx: Context, self: Value, target: Value, weight: Value | None, reduction: int, ignore_index: int
) -> tuple[Value, Value]:
    """The loss and the sum of the weights that it was divided by (0 for a batch without a reduction)."""
    _check_classes(cx, target, self.shape[min(self.rank - 1, 1)], ignore_index)
    terms, share = picked(cx, self, target, weight, ignore_index)
    if reduction == NONE and self.rank > 1:
        return cx.convert(terms, self.dtype), cx.constant(0, self.dtype)
    total, weights = cx.reduce_sum(terms), cx.reduce_sum(share)
    if reduction == MEAN:
        total = total / weights
    return cx.convert(total, self.dtype), cx.convert(weights, self.dtype)


@lowers("aten.nll_loss_forward.default", "aten.nll_loss2d_forward.default")
def nll_loss_forward(
    cx: Context, self: Value, target: Value, weight: Value | None, reduction: int, ignore_index: int
) -> tuple[Value, Value]:
    return _nll(cx, self, target, weight, reduction, ignore_index)


@lowers("aten.nll_loss.default", "aten.nll_loss2d.default", "aten.nll_loss_nd.default")
def nll_loss(
    cx: Context, self: Value, target: Value, weight: Value | None, reduction: int, ignore_index: int
) -> Value:
    return _nll(cx, self, target, weight, reduction, ignore_index)[0]


@lowers("aten.cross_entropy_loss.default")
def cross_entropy_loss(
    cx: Context,
    self: Value,
    target: Value,
    weight: Value | None,
    reduction: int,
    ignore_index: int,
    label_smoothing: float,
) -> Value:
    """Targets of the input's shape are probabilities, others class indices."""
    axis = min(self.rank - 1, 1)
    scores = log_softmax_of(cx, self, axis)
    if target.shape == self.shape:
        return _of_probabilities(cx, scores, target, weight, reduction, label_smoothing)
    loss = _nll(cx, scores, target, weight, reduction, ignore_index)[0]
    if label_smoothing == 0:
        return loss
    spread = _smooth(cx, scores, target, weight, reduction, ignore_index)
    share = label_smoothing / self.shape[axis]
    return cx.pointwise(lambda a, b: a * (1 - label_smoothing) + b * share, loss, spread, out=cx.out.dtype)


def _smooth(
    cx: Context, scores: Value, target: Value, weight: Value | None, reduction: int, ignore_index: int
) -> Value:
    """The part of a smoothed loss that every class shares."""
    axis = min(scores.rank - 1, 1)
    compute = cx.compute_dtype(scores.dtype)
    wide = cx.convert(scores, compute)
    if weight is not None:
        wide = wide * cx.broadcast_in_dim(cx.convert(weight, compute), scores.shape, (axis,))
    terms = cx.select(target != ignore_index, -cx.reduce_sum(wide, axis), 0)
    if reduction == NONE:
        return terms
    total = cx.reduce_sum(terms)
    if reduction == MEAN:
        total = total / cx.reduce_sum(picked(cx, scores, target, weight, ignore_index)[1])
    return total


def _of_probabilities(
    cx: Context, scores: Value, target: Value, weight: Value | None, reduction: int, label_smoothing: float
) -> Value:
    axis = min(scores.rank - 1, 1)
    classes = scores.shape[axis]
    compute = cx.compute_dtype(scores.dtype)
    share = cx.convert(target, compute)
    if label_smoothing > 0:
        share = share * (1 - label_smoothing) + label_smoothing / classes
    terms = cx.convert(scores, compute) * share
    if weight is not None:
        terms = terms * cx.broadcast_in_dim(cx.convert(weight, compute), scores.shape, (axis,))
    if reduction == NONE:
        return cx.convert(-cx.reduce_sum(terms, axis), cx.out.dtype)
    total = -cx.reduce_sum(terms)
    if reduction == MEAN:
        total = total / float(prod(scores.shape) / classes)
    return cx.convert(total, cx.out.dtype)
