"""Keep functions of functions, and two constants apart: barriers hide what an engine would merge.

It takes exp(a) * exp(b) for exp(a + b), log(exp(a)) for a, sqrt(a * a) for |a|, and draws two constants
together that are added to a number or multiply it. An overflow or a rounding between the two is lost then.
It also takes |a| >= 0 for true, but NaN is not at least 0.
"""

from __future__ import annotations

from collections.abc import Callable

from lowering.stablehlo.hlo import ir
from lowering.stablehlo.passes.parsed import ParsedModule
from lowering.stablehlo.passes.rewrite import cx, direction_of, maker, operations, splat_of
from lowering.stablehlo.value import Value


def rewrite(parsed: ParsedModule) -> None:
    for op in operations(parsed.block):
        merged = _MERGED.get(op.operation.name)
        if merged is None or not Value(op.operation.operands[0]).dtype.is_floating:
            continue
        at = merged(op.operation)
        if at is not None:
            with ir.InsertionPoint(op), op.operation.location:
                op.operation.operands[at] = cx.opaque(Value(op.operation.operands[at])).ir


def _made_by(value: ir.Value, *names: str) -> bool:
    return any(maker(value, f"stablehlo.{name}") is not None for name in names)


def _is_square(value: ir.Value) -> bool:
    product = maker(value, "stablehlo.multiply")
    return product is not None and product.operation.operands[0] == product.operation.operands[1]


def _product(op: ir.Operation) -> int | None:
    if all(_made_by(operand, "exponential") for operand in op.operands):
        return 0
    return _with_second_constant(op, "multiply")


def _sum(op: ir.Operation) -> int | None:
    return _with_second_constant(op, "add", "subtract")


def _with_second_constant(op: ir.Operation, *names: str) -> int | None:
    """Which operand has a constant in it already, if the other one is a constant."""
    operands = list(op.operands)
    for at, operand in enumerate(operands):
        makers = (maker(operand, f"stablehlo.{name}") for name in names)
        inner = next((found for found in makers if found is not None), None)
        if inner is None or splat_of(operands[1 - at]) is None:
            continue
        if any(splat_of(item) is not None for item in inner.operation.operands):
            return at
    return None


def _logarithm(op: ir.Operation) -> int | None:
    return 0 if _made_by(op.operands[0], "exponential", "power", "sqrt", "rsqrt") else None


def _root(op: ir.Operation) -> int | None:
    return 0 if _is_square(op.operands[0]) else None


def _power(op: ir.Operation) -> int | None:
    return 0 if _is_square(op.operands[0]) or _made_by(op.operands[0], "exponential", "power") else None


def _comparison(op: ir.Operation) -> int | None:
    """The number that is compared with 0. To other directions, NaN is what a number below 0 is."""
    if direction_of(op) not in ("GE", "LE"):
        return None
    operands = list(op.operands)
    for at, operand in enumerate(operands):
        if splat_of(operand) == 0 and _made_by(operands[1 - at], *_SEEN_AS_POSITIVE):
            return 1 - at
    return None


# By these operations an engine finds that a value is at least 0. It knows nothing of others.
_SEEN_AS_POSITIVE = (
    "abs", "exponential", "multiply", "power", "maximum", "minimum", "select", "divide", "broadcast_in_dim",
    "convert", "reshape", "transpose", "slice", "sqrt", "rsqrt", "logistic",
)  # fmt: skip

# By operation: which of its operands a barrier hides, if any.
_MERGED: dict[str, Callable[[ir.Operation], int | None]] = {
    "stablehlo.multiply": _product,
    "stablehlo.add": _sum,
    "stablehlo.subtract": _sum,
    "stablehlo.log": _logarithm,
    "stablehlo.sqrt": _root,
    "stablehlo.power": _power,
    "stablehlo.compare": _comparison,
}
