"""Keep functions of functions, and sums with two constants: barriers hide what an engine would merge.

It takes exp(a) * exp(b) for exp(a + b), log(exp(a)) for a, sqrt(a * a) for |a|, and draws two
constants together. An overflow or a rounding between the two is lost then. It also
takes |a| >= 0 for true, but NaN is not at least 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lowering.stablehlo.hlo import ir
from lowering.stablehlo.passes.parsed import ParsedModule
from lowering.stablehlo.passes.rewrite import cx, maker, operations, splat_of
from lowering.stablehlo.value import Value

Operands = Sequence[ir.Value]


def rewrite(parsed: ParsedModule) -> None:
    for op in operations(parsed.block):
        merged = _MERGED.get(op.operation.name)
        if merged is None or not Value(op.operation.operands[0]).dtype.is_floating:
            continue
        if "comparison_direction" in op.operation.attributes and not _keeps_equal(op.operation):
            continue
        at = merged(list(op.operation.operands))
        if at is not None:
            with ir.InsertionPoint(op), op.operation.location:
                op.operation.operands[at] = cx.opaque(Value(op.operation.operands[at])).ir


def _keeps_equal(compare: ir.Operation) -> bool:
    """Whether it is >= or <=: to the others, NaN is what a number below 0 is."""
    direction = str(compare.attributes["comparison_direction"]).rpartition(" ")[2].rstrip(">")
    return direction in ("GE", "LE")


def _made_by(value: ir.Value, *names: str) -> bool:
    return any(maker(value, f"stablehlo.{name}") is not None for name in names)


def _is_square(value: ir.Value) -> bool:
    product = maker(value, "stablehlo.multiply")
    return product is not None and product.operation.operands[0] == product.operation.operands[1]


def _product(operands: Operands) -> int | None:
    if all(_made_by(operand, "exponential") for operand in operands):
        return 0
    return _with_second_constant(operands, "multiply")


def _sum(operands: Operands) -> int | None:
    return _with_second_constant(operands, "add", "subtract")


def _with_second_constant(operands: Operands, *names: str) -> int | None:
    """Which operand has a constant in it already, if the other one is a constant."""
    for at, operand in enumerate(operands):
        inner = next((op for name in names if (op := maker(operand, f"stablehlo.{name}")) is not None), None)
        if inner is None or splat_of(operands[1 - at]) is None:
            continue
        if any(splat_of(item) is not None for item in inner.operation.operands):
            return at
    return None


def _logarithm(operands: Operands) -> int | None:
    return 0 if _made_by(operands[0], "exponential", "power", "sqrt", "rsqrt") else None


def _root(operands: Operands) -> int | None:
    return 0 if _is_square(operands[0]) else None


def _power(operands: Operands) -> int | None:
    return 0 if _is_square(operands[0]) or _made_by(operands[0], "exponential", "power") else None


def _comparison(operands: Operands) -> int | None:
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
_MERGED: dict[str, Callable[[Operands], int | None]] = {
    "stablehlo.multiply": _product,
    "stablehlo.add": _sum,
    "stablehlo.subtract": _sum,
    "stablehlo.log": _logarithm,
    "stablehlo.sqrt": _root,
    "stablehlo.power": _power,
    "stablehlo.compare": _comparison,
}
