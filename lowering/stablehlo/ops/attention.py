"""Scaled dot-product attention, without a transpose: batched dots over [..., heads, length, features]."""

from __future__ import annotations

from math import sqrt

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.size_questions import are_equal
from lowering.stablehlo.symbolic import is_symbolic
from lowering.stablehlo.value import Value

INF = float("inf")


def score_scale(cx: Context, features: int, dtype: DType) -> Value | float:
    """1 / sqrt(features), in double precision, as Python takes it."""
    if is_symbolic(features):
        return cx.convert(1.0 / cx.sqrt(cx.constant(features, DType.FLOAT64)), dtype)
    return 1 / sqrt(features)


def attend(
    cx: Context,
    query: Value,
    key: Value,
    value: Value,
    mask: Value | None,
    is_causal: bool,
    scale: float | None,
) -> tuple[Value, Value]:
    """The unrounded result [..., G, L, Ev] and the log-sum-exp of the scores [..., G, L].

    query: [..., G, L, E]; key, value: [..., S, E] and [..., S, Ev], shared by the G query heads (no G axis
    where heads are not grouped); mask: broadcasts to [..., G, L, S], bool (True takes part) or added. Scores
    and softmax are float32 for halves; the weights are rounded to the operands' type for the second dot, as
    in eager's kernel. Rows that are masked whole give 0.
    """
    batch = list(range(key.rank - 2))
    length, width = query.shape[-2], key.shape[-2]
    scores = cx.dot_general(query, key, ([query.rank - 1], [key.rank - 1]), (batch, batch))
    scores = scores * (score_scale(cx, query.shape[-1], scores.dtype) if scale is None else scale)
    if is_causal:
        rows, columns = (cx.iota(DType.INT32, (length, width), axis) for axis in (0, 1))
        scores = cx.select(columns <= rows, scores, -INF)
    if mask is not None:
        if mask.dtype is DType.BOOL:
            scores = cx.select(mask, scores, -INF)
        else:
            scores = scores + cx.convert(mask, scores.dtype)
    axis = scores.rank - 1
    largest = cx.reduce_max(scores, axis, keepdim=True)
    whole = largest == -INF
    weights = cx.exp(scores - cx.select(whole, 0, largest))
    total = cx.reduce_sum(weights, axis, keepdim=True)
    # Dividing after the second dot costs L * Ev divisions instead of L * S.
    result = cx.dot_general(
        cx.convert(weights, value.dtype), value, ([axis], [value.rank - 2]), (batch, batch)
    )
    result = result / cx.select(whole, 1, total)
    logsumexp = cx.select(whole, 0, cx.log(total) + largest)
    return result, cx.squeeze(logsumexp, axis)


def _grouped_mask(cx: Context, mask: Value, lead: tuple[int, ...], heads: int, group: int) -> Value:
    """A mask for [lead..., heads * group, L, S] as one for [lead..., heads, group, L, S]."""
    rank = len(lead) + 3
    mask = cx.reshape(mask, (1,) * (rank - mask.rank) + mask.shape)
    split = (1, 1) if mask.shape[-3] == 1 else (heads, group)
    return cx.reshape(mask, (*mask.shape[:-3], *split, *mask.shape[-2:]))


@lowers("aten.scaled_dot_product_attention.default")
def scaled_dot_product_attention(
    cx: Context,
    query: Value,
    key: Value,
    value: Value,
    attn_mask: Value | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Value:
    if dropout_p:
        raise Unsupported("dropout draws random numbers")
    lead = cx.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2]) if not enable_gqa else ()
    if enable_gqa and query.shape[-3] != key.shape[-3]:
        outer, heads = key.shape[:-3], key.shape[-3]
        group = query.shape[-3] // heads
        if not are_equal(query.shape[:-3], outer) or not are_equal(value.shape[:-2], key.shape[:-2]):
            raise Unsupported("grouped queries whose batch axes broadcast")
        mask = None if attn_mask is None else _grouped_mask(cx, attn_mask, outer, heads, group)
        grouped = cx.reshape(query, (*outer, heads, group, *query.shape[-2:]))
    else:
        lead = lead or query.shape[:-2]
        grouped = cx.broadcast(query, (*lead, *query.shape[-2:]))
        key = cx.broadcast(key, (*lead, *key.shape[-2:]))
        value = cx.broadcast(value, (*lead, *value.shape[-2:]))
        mask = attn_mask
    result, _ = attend(cx, grouped, key, value, mask, is_causal, scale)
    return cx.convert(cx.reshape(result, cx.out.shape), cx.out.dtype)


@lowers("aten._scaled_dot_product_flash_attention_for_cpu.default")
def flash_attention_for_cpu(
    cx: Context,
    query: Value,
    key: Value,
    value: Value,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    attn_mask: Value | None = None,
    scale: float | None = None,
) -> tuple[Value, Value]:
    if dropout_p:
        raise Unsupported("dropout draws random numbers")
    if not are_equal(query.shape[:-2], key.shape[:-2]):
        raise Unsupported("grouped queries in the flash kernel")
    result, logsumexp = attend(cx, query, key, value, attn_mask, is_causal, scale)
    attention, log_sums = cx.outs
    return cx.convert(result, attention.dtype), cx.convert(logsumexp, log_sums.dtype)
