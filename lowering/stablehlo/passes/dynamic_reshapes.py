"""Spell reshapes whose sizes a call says as `tensor.collapse_shape` and `tensor.expand_shape`."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from lowering.ir.symbols import evaluate, free_symbols
from lowering.stablehlo.hlo import ir
from lowering.stablehlo.index_values import make
from lowering.stablehlo.passes.parsed_dynamic import ParsedDynamic, refused
from lowering.stablehlo.passes.rewrite import everywhere
from lowering.stablehlo.size_questions import same_size
from lowering.stablehlo.symbolic import any_symbolic, is_symbolic, term
from lowering.stablehlo.value import Shape, Value, tensor_type

# Runs of axes: of the operand, and of the result that has as many elements in them.
Groups = list[tuple[list[int], list[int]]]
_DYNAMIC = ir.ShapedType.get_dynamic_size()


def rewrite(parsed: ParsedDynamic) -> None:
    for op in everywhere(parsed.block):
        if op.operation.name == "stablehlo.dynamic_reshape":
            value, result = Value(op.operation.operands[0]), Value(op.operation.results[0])
            if not value.rank or not result.rank:
                raise refused(op.operation, f"{list(value.shape)} as {list(result.shape)}")
            with ir.InsertionPoint(op), op.operation.location:
                made = _reshaped(parsed, value, result.shape)
            op.operation.results[0].replace_all_uses_with(made)
            op.operation.erase()


def _reshaped(parsed: ParsedDynamic, value: Value, shape: Shape) -> ir.Value:
    groups = _groups(value.shape, shape) or [(list(range(value.rank)), list(range(len(shape))))]
    merged = tuple(prod(value.shape[axis] for axis in old) for old, _ in groups)
    found = value.ir
    if len(merged) < value.rank:
        order = _reassociation([old for old, _ in groups])
        type_ = tensor_type(value.dtype, merged)
        found = make("tensor.collapse_shape", [found], type_, reassociation=order)
        parsed.sizes.stamp(found, merged)
    # The size of a run may be a number on one side, and an expression on the other.
    split = tuple(prod(shape[axis] for axis in new) for _, new in groups)
    if any(is_symbolic(a) != is_symbolic(b) for a, b in zip(merged, split, strict=True)):
        found = make("tensor.cast", [found], tensor_type(value.dtype, split))
        parsed.sizes.stamp(found, split)
    if len(split) < len(shape):
        order = _reassociation([new for _, new in groups])
        sizes = [parsed.indices.of(size) for size in shape if is_symbolic(size)]
        static = ir.DenseI64ArrayAttr.get([_DYNAMIC if is_symbolic(size) else size for size in shape])
        type_ = tensor_type(value.dtype, shape)
        operands = [found, *sizes]
        found = make("tensor.expand_shape", operands, type_, reassociation=order, static_output_shape=static)
        parsed.sizes.stamp(found, shape)
    return found


def _groups(old: Shape, new: Shape) -> Groups | None:
    """The shortest runs of axes with provably as many elements; None where there are none."""
    groups: Groups = []
    i = j = 0
    while i < len(old) and j < len(new):
        a, b = [i], [j]
        left, right = old[i], new[j]
        i, j = i + 1, j + 1
        while not same_size(left, right):
            if _weight(left) <= _weight(right) and i < len(old):
                left, i = left * old[i], i + 1
                a.append(i - 1)
            elif j < len(new):
                right, j = right * new[j], j + 1
                b.append(j - 1)
            else:
                return None
        groups.append((a, b))
    rest = [*old[i:], *new[j:]]
    if any_symbolic(rest) or any(size != 1 for size in rest):
        return None
    groups[-1][0].extend(range(i, len(old)))
    groups[-1][1].extend(range(j, len(new)))
    return groups


def _weight(size: int) -> int:
    """The size where each symbol has a value of its own: equal sizes weigh the same."""
    expression = term(size)
    values = {name: 1009 + 2 * sum(map(ord, name)) for name in free_symbols(expression)}
    return int(evaluate(expression, values))


def _reassociation(groups: Sequence[Sequence[int]]) -> ir.ArrayAttr:
    number = ir.IntegerType.get_signless(64)
    return ir.ArrayAttr.get(
        [ir.ArrayAttr.get([ir.IntegerAttr.get(number, axis) for axis in group]) for group in groups]
    )
