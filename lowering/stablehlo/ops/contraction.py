"""Contractions of labelled axes: einsum and its relatives, and the body of all matrix products."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from lowering.ir.types import DType
from lowering.stablehlo.context import Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.value import Value

# One label per axis: a letter of an einsum equation, or any other name.
Labels = Sequence[Hashable]


def contract(
    cx: Context, lhs: Value, l_labels: Labels, rhs: Value, r_labels: Labels, out_labels: Labels, dtype: DType
) -> Value:
    """Multiply two tensors and sum over the labels that the result lacks.

    An axis of size 1 stretches to the other operand's size. The result has the type that eager accumulates
    `dtype` in (float32 for halves), not yet rounded. It is one `dot_general` (a product that sums nothing is
    elementwise), transposed only where its order of axes is not the one asked for.
    """
    sizes: dict[Hashable, int] = {}
    for label, size in [*zip(l_labels, lhs.shape, strict=True), *zip(r_labels, rhs.shape, strict=True)]:
        sizes[label] = size if sizes.get(label, 1) == 1 else sizes[label]
    lhs, left = _unstretched(cx, lhs, l_labels, sizes)
    rhs, right = _unstretched(cx, rhs, r_labels, sizes)
    lhs, left = _sum_lonely(cx, lhs, left, {*right, *out_labels})
    rhs, right = _sum_lonely(cx, rhs, right, {*left, *out_labels})
    accumulator = cx.compute_dtype(dtype)
    shared = [label for label in left if label in right]
    summed = [label for label in shared if label not in out_labels]
    if not summed:
        factors = (_placed(cx, value, labels, out_labels) for value, labels in ((lhs, left), (rhs, right)))
        return times(*(cx.convert(factor, accumulator) for factor in factors))
    batch = [label for label in shared if label in out_labels]
    result = cx.dot_general(
        lhs,
        rhs,
        ([left.index(label) for label in summed], [right.index(label) for label in summed]),
        ([left.index(label) for label in batch], [right.index(label) for label in batch]),
        out=accumulator,
    )
    order = [*batch, *(x for x in left if x not in shared), *(x for x in right if x not in shared)]
    return cx.transpose(result, [order.index(label) for label in out_labels])


def _unstretched(
    cx: Context, value: Value, labels: Labels, sizes: dict[Hashable, int]
) -> tuple[Value, list[Hashable]]:
    """Without the axes of size 1 that would stretch: the product has them from the other operand."""
    stretched = [axis for axis, label in enumerate(labels) if value.shape[axis] != sizes[label]]
    kept = [label for axis, label in enumerate(labels) if axis not in stretched]
    return cx.squeeze(value, *stretched), kept


def _sum_lonely(
    cx: Context, value: Value, labels: list[Hashable], needed: set[Hashable]
) -> tuple[Value, list[Hashable]]:
    """Sum over axes that neither the result nor the other operand has."""
    lonely = [axis for axis, label in enumerate(labels) if label not in needed]
    if not lonely:
        return value, labels
    total = cx.reduce_sum(cx.convert(value, cx.compute_dtype(value.dtype)), lonely)
    return cx.convert(total, value.dtype), [label for label in labels if label in needed]


def _placed(cx: Context, value: Value, labels: list[Hashable], out: Labels) -> Value:
    """Axes in the order of `out`, size 1 for those it lacks."""
    value = cx.transpose(value, [labels.index(label) for label in out if label in labels])
    sizes = iter(value.shape)
    return cx.reshape(value, [next(sizes) if label in labels else 1 for label in out])


def times(a: Value, b: Value) -> Value:
    return a & b if a.dtype is DType.BOOL else a * b


def product(
    cx: Context, lhs: Value, l_labels: Labels, rhs: Value, r_labels: Labels, out_labels: Labels
) -> Value:
    """`contract`, rounded once to this node's result type."""
    return cx.convert(contract(cx, lhs, l_labels, rhs, r_labels, out_labels, cx.out.dtype), cx.out.dtype)


def _diagonal(cx: Context, value: Value, labels: list[Hashable]) -> tuple[Value, list[Hashable]]:
    """Labels that occur twice in one operand take the diagonal of their axes."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            rows, columns = (cx.iota(DType.INT32, value.shape, axis) for axis in (first, second))
            # All but one element of each line is 0, so the sum is exact; select keeps NaN and inf out of it.
            value = cx.reduce_sum(cx.select(rows == columns, value, 0), second)
            labels = labels[:second] + labels[second + 1 :]
    return value, labels


def parse_equation(equation: str, ranks: Sequence[int]) -> tuple[list[list[Hashable]], list[Hashable]]:
    """The labels of each operand's axes and of the result's. Axes under `...` are numbered from the last.

    Without `->` the result has the axes under `...`, then the letters that occur once, capitals first.
    """
    equation = equation.replace(" ", "")
    inputs, arrow, output = equation.partition("->")
    terms = inputs.split(",")
    if len(terms) != len(ranks):
        raise Unsupported(f"einsum {equation!r} names {len(terms)} operands of {len(ranks)}")
    hidden = max(
        (
            rank - len(term.replace("...", ""))
            for term, rank in zip(terms, ranks, strict=True)
            if "..." in term
        ),
        default=0,
    )

    def axes(term: str, covered: int) -> list[Hashable]:
        head, dots, tail = term.partition("...")
        between: list[Hashable] = list(range(-covered, 0)) if dots else []
        return [*head, *between, *tail]

    operands = [axes(t, rank - len(t.replace("...", ""))) for t, rank in zip(terms, ranks, strict=True)]
    if arrow:
        return operands, axes(output, hidden)
    letters = inputs.replace(",", "").replace(".", "")
    once = sorted(letter for letter in set(letters) if letters.count(letter) == 1)
    return operands, [*range(-hidden, 0), *once]


@lowers("aten.einsum.default")
def einsum(cx: Context, equation: str, tensors: Sequence[Value], path: Sequence[int] | None = None) -> Value:
    """Two operands at a time: by `path` (each pair's result goes last), else left to right."""
    parsed, out = parse_equation(equation, [tensor.rank for tensor in tensors])
    operands = [_diagonal(cx, value, labels) for value, labels in zip(tensors, parsed, strict=True)]
    pairs = iter(path or ())
    while len(operands) > 1:
        i, j = sorted((next(pairs), next(pairs))) if path else (0, 1)
        rhs, right = operands.pop(j)
        lhs, left = operands.pop(i)
        later = {label for _, labels in operands for label in labels} | set(out)
        kept = [label for label in dict.fromkeys((*left, *right)) if label in later]
        if not operands:
            kept = out
        pair = (product(cx, lhs, left, rhs, right, kept), kept)
        operands.insert(len(operands) if path else 0, pair)
    value, labels = _sum_lonely(cx, *operands[0], set(out))
    # Eager sums small integers of a lone operand in int64.
    return cx.convert(cx.transpose(value, [labels.index(label) for label in out]), cx.out.dtype)


@lowers("aten.tensordot.default")
def tensordot(
    cx: Context, self: Value, other: Value, dims_self: Sequence[int], dims_other: Sequence[int]
) -> Value:
    left: list[Hashable] = [("left", axis) for axis in range(self.rank)]
    right: list[Hashable] = [("right", axis) for axis in range(other.rank)]
    for number, (a, b) in enumerate(zip(dims_self, dims_other, strict=True)):
        left[cx.axis(a, self.rank)] = right[cx.axis(b, other.rank)] = number
    return product(cx, self, left, other, right, [x for x in (*left, *right) if isinstance(x, tuple)])


@lowers("aten.bilinear.default")
def bilinear(cx: Context, input1: Value, input2: Value, weight: Value, bias: Value | None = None) -> Value:
    """Two products and a sum; eager rounds halves after each."""
    dtype = cx.out.dtype
    rows = [("row", axis) for axis in range(input1.rank - 1)]
    partial = contract(cx, input1, [*rows, "i"], weight, ["o", "i", "j"], [*rows, "o", "j"], dtype)
    partial = cx.convert(partial, dtype)
    result = contract(cx, partial, [*rows, "o", "j"], input2, [*rows, "j"], [*rows, "o"], dtype)
    result = cx.convert(result, dtype)
    return result if bias is None else cx.pointwise(lambda a, b: a + b, result, bias, out=dtype)
