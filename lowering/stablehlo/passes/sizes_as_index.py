"""Compute sizes as values of type `index` beside the tensors, and give operations their shapes so."""

from __future__ import annotations

from lowering.stablehlo.hlo import ir
from lowering.stablehlo.passes.parsed_dynamic import ParsedDynamic
from lowering.stablehlo.passes.rewrite import everywhere
from lowering.stablehlo.symbolic import Specialised, any_symbolic

# The operands that are vectors of sizes.
_VECTORS = {
    "stablehlo.dynamic_broadcast_in_dim": (1,),
    "stablehlo.dynamic_iota": (0,),
    "stablehlo.real_dynamic_slice": (1, 2, 3),
}


def rewrite(parsed: ParsedDynamic) -> None:
    # Shapes are told by what is replaced here.
    parsed.sizes.stamp_all()
    vectors: list[tuple[ir.Operation, int, list[int]]] = []
    scalars: list[tuple[ir.Value, int]] = []
    for op in everywhere(parsed.block):
        for at in _VECTORS.get(op.operation.name, ()):
            vectors.append((op.operation, at, parsed.sizes.numbers(op.operation.operands[at])))
        scalars += _scalar(parsed, op.operation)
    for op, at, numbers in vectors:
        op.operands[at] = parsed.indices.vector(numbers)
    for value, number in scalars:
        value.replace_all_uses_with(parsed.indices.whole(number))


def _scalar(parsed: ParsedDynamic, op: ir.Operation) -> list[tuple[ir.Value, int]]:
    """The result of an operation, and the size of the call that it is; nothing where it is none."""
    if not op.name.startswith("stablehlo.") or [str(value.type) for value in op.results] != ["tensor<i64>"]:
        return []
    try:
        (number,) = parsed.sizes.numbers(op.results[0])
    except Specialised:
        return []
    return [(op.results[0], number)] if any_symbolic([number]) else []
