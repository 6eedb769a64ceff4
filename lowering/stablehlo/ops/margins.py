"""The margin losses of one label and of several labels a row.

torch's own decompositions do not apply here: they count NaN, and elements after the end of a row's labels.
"""

from __future__ import annotations

from lowering.ir.types import DType
from lowering.stablehlo.context import ConcreteType, Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.ops.loss import MEAN, NONE
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.value import Scalar, Value


@lowers("aten.multilabel_margin_loss_forward.default")
def multilabel_margin_loss_forward(
    cx: Context, self: Value, target: Value, reduction: int
) -> tuple[Value, Value]:
    """Per row: the sum of `max(0, 1 - x[label] + x[other])` over labels and others, by the row's size.

    self, target: [N, C], [C] or []; a row's labels end at the first -1. Gives the loss, and 1 where a class
    is a label.
    """
    loss, marks = cx.outs
    if reduction == NONE and len(loss.shape) >= self.rank:
        raise Unsupported("torch notes one loss for a single row, and eager gives none of rank 1")
    if not self.size:
        raise Unsupported("rows of no classes")
    classes = self.shape[-1] if self.rank else 1
    shape = (self.size // classes, classes)
    values, labels = cx.reshape(self, shape), cx.reshape(cx.convert(target, DType.INT64), shape)
    places = cx.iota(DType.INT64, shape, 1)
    end = cx.reduce_min(cx.select(labels == -1, places, classes), 1, keepdim=True)
    counted = places < end
    labels = cx.select(counted, labels, 0)
    picked = cx.call("aten.gather.default", values, 1, labels, outs=[ConcreteType(self.dtype, shape)])
    # Axes: row, label, class.
    square = (*shape, classes)
    hits = (cx.unsqueeze(labels, 2) == cx.iota(DType.INT64, square, 2)) & cx.unsqueeze(counted, 2)
    is_label = cx.reduce_or(hits, 1)
    terms = (1 - cx.unsqueeze(picked, 2)) + cx.unsqueeze(values, 1)
    # A NaN adds nothing, as in eager's comparison.
    adds = (terms > 0) & cx.unsqueeze(counted, 2) & ~cx.unsqueeze(is_label, 1)
    total = cx.reduce_sum(cx.select(adds, terms, 0), (1, 2))
    if reduction != NONE:
        total = cx.reduce_sum(total)
    total = total / (classes * (shape[0] if reduction == MEAN else 1))
    return cx.reshape(total, loss.shape), cx.reshape(cx.convert(is_label, marks.dtype), marks.shape)


@lowers("aten.multilabel_margin_loss.default")
def multilabel_margin_loss(cx: Context, self: Value, target: Value, reduction: int) -> Value:
    outs = [cx.out, ConcreteType(self.dtype, target.shape)]
    name = "aten.multilabel_margin_loss_forward.default"
    return cx.call(name, self, target, reduction, outs=outs)[0]


@lowers("aten.multi_margin_loss.default")
def multi_margin_loss(
    cx: Context,
    self: Value,
    target: Value,
    p: Scalar = 1,
    margin: Scalar = 1,
    weight: Value | None = None,
    reduction: int = MEAN,
) -> Value:
    """Per row: the sum of `max(0, margin - x[label] + x[other]) ** p` over all others, by the row's size.

    self: [N, C], [C] or []; target: [N] or []. `p` is 1 or 2. A weight is the label's.
    """
    if not self.size:
        raise Unsupported("rows of no classes")
    classes = self.shape[-1] if self.rank else 1
    shape = (self.size // classes, classes)
    values, labels = cx.reshape(self, shape), cx.reshape(cx.convert(target, DType.INT64), (shape[0], 1))
    column = [ConcreteType(self.dtype, (shape[0], 1))]
    terms = (margin - cx.call("aten.gather.default", values, 1, labels, outs=column)) + values
    # A NaN adds nothing, as in eager's comparison.
    adds = (terms > 0) & (labels != cx.iota(DType.INT64, shape, 1))
    terms = cx.select(adds, terms * terms if p == 2 else terms, 0)
    if weight is not None:
        found = [ConcreteType(weight.dtype, (shape[0],))]
        of_labels = cx.call("aten.index_select.default", weight, 0, cx.squeeze(labels, 1), outs=found)
        terms = terms * cx.unsqueeze(of_labels, 1)
    total = cx.reduce_sum(terms, 1) / classes
    if reduction != NONE:
        total = cx.reduce_sum(total)
    return cx.reshape(total / shape[0] if reduction == MEAN else total, cx.out.shape)
