"""Numbers from the data that an element type must hold."""

from __future__ import annotations

import pytest

from lowering.ir.symbols import Symbol
from lowering.ir.types import DType, SymKind, SymType, contiguous
from lowering.stablehlo.emit import emit_module
from tests.lowering.graphs import node, program


@pytest.mark.parametrize(
    ("item", "dtype", "target", "argument", "checked"),
    [
        (DType.INT64, DType.INT8, "aten.clamp.default", "max", True),
        (DType.INT64, DType.UINT8, "aten.fill.Scalar", "value", True),
        (DType.INT64, DType.INT64, "aten.fill.Scalar", "value", False),
        (DType.INT32, DType.INT32, "aten.fill.Scalar", "value", False),
        (DType.INT64, DType.BOOL, "aten.fill.Scalar", "value", False),
        (DType.INT64, DType.FLOAT32, "aten.fill.Scalar", "value", False),
        (DType.INT64, DType.FLOAT16, "aten.fill.Scalar", "value", True),
        (DType.FLOAT32, DType.FLOAT32, "aten.fill.Scalar", "value", False),
        (DType.FLOAT64, DType.FLOAT32, "aten.fill.Scalar", "value", True),
        (DType.FLOAT32, DType.BFLOAT16, "aten.fill.Scalar", "value", True),
        # An operand wraps around, or becomes infinite.
        (DType.INT64, DType.INT8, "aten.mul.Tensor", "other", False),
        (DType.FLOAT64, DType.FLOAT32, "aten.mul.Tensor", "other", False),
    ],
)
def test_where_the_item_may_not_be_one_of_its_numbers(
    item: DType, dtype: DType, target: str, argument: str, checked: bool
) -> None:
    kind = SymKind.FLOAT if item.is_floating else SymKind.INT
    types = {
        "p": contiguous(item, ()),
        "n": SymType(kind, Symbol("zuf0" if item.is_floating else "u0")),
        "x": contiguous(dtype, (2,)),
        "y": contiguous(dtype, (2,)),
    }
    nodes = [
        node("n", "aten.item.default", self="%p"),
        node("y", target, **{"self": "%x", argument: "%n"}),
    ]
    whole = program(["p", "x"], nodes, ["%y"], types)
    found = emit_module(whole, nodes, ["p", "x"], ["y"], {}, "m").checks
    messages = [check.message.partition(": ")[2] for check in found]
    assert messages == [f"value cannot be converted to type {dtype} without overflow"] * checked
