"""Round a product before the difference of it and of what is made of it, such as its largest element.

Drawn together with the difference, the product is exact, and its maximum is rounded. A softmax of scaled
logits then has the exponential of a rounding in the place of 1: NaN in a row whose numbers are all as low as
a mask makes them.
"""

from __future__ import annotations

from lowering.stablehlo.hlo import ir
from lowering.stablehlo.passes.keep_product_roundings import ROUNDED_BITS, rounded_product
from lowering.stablehlo.passes.parsed import ParsedModule
from lowering.stablehlo.passes.rewrite import maker, operations
from lowering.stablehlo.value import Value

_MOVES = frozenset(
    f"stablehlo.{name}"
    for name in ("broadcast_in_dim", "dynamic_broadcast_in_dim", "reshape", "transpose", "slice", "reverse")
)
_CHOICES = frozenset(("stablehlo.maximum", "stablehlo.minimum"))
_JOINS = _CHOICES | {"stablehlo.concatenate"}
# No chain from a product to its largest element is longer.
_STEPS = 16


def rewrite(parsed: ParsedModule) -> None:
    for op in operations(parsed.block):
        if op.operation.name != "stablehlo.subtract":
            continue
        given = list(op.operation.operands)
        if Value(given[0]).dtype not in ROUNDED_BITS:
            continue
        for at, operand in enumerate(given):
            product = _moved(operand)
            if maker(product, "stablehlo.multiply") is None or not _picks(given[1 - at], product):
                continue
            with ir.InsertionPoint(op), op.operation.location:
                op.operation.operands[at] = rounded_product(Value(operand)).ir


def _moved(value: ir.Value) -> ir.Value:
    """The value whose elements this one has at other places."""
    while not isinstance(owner := value.owner, ir.Block) and owner.name in _MOVES:
        value = owner.operands[0]
    return value


def _picks(value: ir.Value, product: ir.Value) -> bool:
    """Whether a value has elements of a product: the product itself, moved, joined, chosen or reduced."""
    left, steps = [value], 0
    while left and steps < _STEPS:
        found, steps = _moved(left.pop()), steps + 1
        if found == product:
            return True
        owner = found.owner
        if isinstance(owner, ir.Block):
            continue
        operands = list(owner.operands)
        if owner.name == "stablehlo.select":
            left += operands[1:]
        elif owner.name in _JOINS or (owner.name == "stablehlo.reduce" and _chooses(owner)):
            left += operands
    return False


def _chooses(reduction: ir.OpView | ir.Operation) -> bool:
    """Whether a reduction gives one of the elements that it is given."""
    return any(op.operation.name in _CHOICES for op in reduction.operation.regions[0].blocks[0].operations)
