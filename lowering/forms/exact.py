"""Functions that an engine's own code gets wrong, rewritten into what it gets right."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lowering.forms import angles
from lowering.forms.rewrite import cx, replace
from lowering.hlo import ir
from lowering.ir.types import DType
from lowering.value import Value


def exact(block: ir.Block) -> None:
    """Rewrite the functions of a block, and of the regions below it."""
    for op in list(block.operations):
        for region in op.regions:
            for inner in region.blocks:
                exact(inner)
        rules = _RULES.get(op.operation.name)
        rule = rules.get(Value(op.operands[0]).dtype) if rules is not None else None
        if rule is not None:
            with ir.InsertionPoint(op), op.location:
                replace(op, rule(Value(op.operands[0])))


def _magnitude(number: Value) -> Value:
    """The absolute value of complex64: in float64, where squares do not overflow."""
    real, imag = (cx.convert(part, DType.FLOAT64) for part in (cx.real(number), cx.imag(number)))
    return cx.convert(cx.sqrt(real * real + imag * imag), DType.FLOAT32)


_RULES: Mapping[str, Mapping[DType, Callable[[Value], Value]]] = {
    "stablehlo.abs": {DType.COMPLEX64: _magnitude},
    "stablehlo.cosine": {DType.FLOAT32: angles.cosine},
    "stablehlo.sine": {DType.FLOAT32: angles.sine},
    "stablehlo.tan": {DType.FLOAT32: angles.tangent},
}
