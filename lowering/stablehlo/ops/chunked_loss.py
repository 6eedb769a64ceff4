"""Cross-entropy of a linear layer's outputs, which eager takes of a few rows at a time.

The rows do not depend on each other: here they are computed together, and only what eager rounds chunk by
chunk is. Gradients, which eager computes along where one is wanted, are not.
"""

from __future__ import annotations

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.ops.indexing import take_along
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.value import Value


@lowers("torch_nn._linear_cross_entropy_batch_chunked_no_reduction.default")
def rows(
    cx: Context, input: Value, linear_weight: Value, target: Value, linear_bias: Value | None,
    weight: Value | None, ignore_index: int, batch_chunk_size: int, acc_policy: str, acc_dtype: DType,
) -> Value:  # fmt: skip
    """input: [n, features]; linear_weight: [classes, features]; target: [n] -> losses [n]."""
    _check_types(input.dtype, acc_policy, acc_dtype)
    scale, target = _scales(cx, target, weight, linear_weight.shape[0], ignore_index, acc_dtype)
    logit, log_total = _logits(cx, input, linear_weight, linear_bias, target, acc_dtype)
    return cx.convert((log_total - logit) * scale, cx.out.dtype)


@lowers("torch_nn._linear_cross_entropy_batch_chunked.default")
def reduced(
    cx: Context, input: Value, linear_weight: Value, target: Value, linear_bias: Value | None,
    weight: Value | None, reduction: str, ignore_index: int, label_smoothing: float, batch_chunk_size: int,
    acc_policy: str, acc_dtype: DType, allow_retain_graph: bool, compute_input_grad: bool,
    compute_linear_weight_grad: bool, compute_linear_bias_grad: bool,
) -> tuple[Value, ...]:  # fmt: skip
    """The mean or sum of the losses, and three gradients without elements."""
    if compute_input_grad or compute_linear_weight_grad or compute_linear_bias_grad:
        raise Unsupported("the gradients of a chunked linear cross-entropy")
    if reduction not in ("mean", "sum"):
        raise Unsupported(f"a chunked linear cross-entropy reduced by {reduction!r}")
    _check_types(input.dtype, acc_policy, acc_dtype)
    loss, *gradients = cx.outs
    empty = [cx.constant(0, out.dtype, out.shape) for out in gradients]
    if not target.size:
        return cx.constant(float("nan") if reduction == "mean" else 0, loss.dtype), *empty
    scale, target = _scales(cx, target, weight, linear_weight.shape[0], ignore_index, acc_dtype)
    if reduction == "mean":
        whole = cx.reduce_sum(scale)
        scale = scale / cx.select(whole == 0, float("nan"), whole)
    logit, log_total = _logits(cx, input, linear_weight, linear_bias, target, acc_dtype)
    # Of bfloat16, eager's running total is one too.
    kept = loss.dtype if loss.dtype is DType.BFLOAT16 else acc_dtype
    total = cx.constant(0, kept)
    for start in range(0, target.size, batch_chunk_size):
        end = min(start + batch_chunk_size, target.size)
        for part in (-(scale * logit), scale * log_total):
            chunk = cx.reduce_sum(cx.slice_axis(part, 0, start, end))
            total = cx.opaque(cx.pointwise(lambda a, b: a + b, total, chunk, out=kept))
    return cx.convert(total, loss.dtype), *empty


def _check_types(dtype: DType, policy: str, accumulated: DType) -> None:
    if accumulated.is_half or (dtype is DType.FLOAT16 and policy != "accurate"):
        raise Unsupported(f"a chunked linear cross-entropy with logits of {dtype}")


def _scales(
    cx: Context, target: Value, weight: Value | None, classes: int, ignore_index: int, dtype: DType
) -> tuple[Value, Value]:
    """The weight of each row's class, 0 for the rows to be ignored; and the target with a class for these."""
    ignored = target == ignore_index
    if not 0 <= ignore_index < classes:
        target = cx.select(ignored, 0, target)
    target = cx.index_in(target, classes)
    scale = (
        cx.constant(1, dtype, target.shape) if weight is None else cx.take(cx.convert(weight, dtype), target)
    )
    return cx.select(ignored, 0, scale), target


def _logits(
    cx: Context, input: Value, linear_weight: Value, bias: Value | None, target: Value, dtype: DType
) -> tuple[Value, Value]:
    """Of each row: the logit of its class, and the logarithm of the sum of all exponentials; both relative to
    the largest logit."""
    input, linear_weight = (cx.convert(value, dtype) for value in (input, linear_weight))
    logits = cx.dot_general(input, linear_weight, ((1,), (1,)))
    if bias is not None:
        logits = logits + cx.convert(bias, dtype)
    logits = logits - cx.reduce_max(logits, 1, keepdim=True)
    own = cx.reshape(take_along(cx, logits, cx.unsqueeze(target, 1), 1), target.shape)
    return own, cx.log(cx.reduce_sum(cx.exp(logits), 1))
