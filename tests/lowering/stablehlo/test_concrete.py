"""Types of values at the sizes that are being emitted."""

from __future__ import annotations

import pytest

from lowering.ir.symbols import Apply, Symbol
from lowering.ir.types import DType, SymKind, SymType, TensorType
from lowering.stablehlo.concrete import concrete, port_type, scalar_of
from lowering.stablehlo.context import ConcreteType
from lowering.stablehlo.errors import Unsupported

S0 = Symbol("s0")


def test_sizes_are_computed() -> None:
    type_ = TensorType(DType.FLOAT32, (S0, Apply("Mul", (2, S0))), (1, 1))
    assert concrete(type_, {"s0": 3}) == ConcreteType(DType.FLOAT32, (3, 6))


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [(SymKind.INT, DType.INT64), (SymKind.FLOAT, DType.FLOAT64), (SymKind.BOOL, DType.BOOL)],
)
def test_a_number_is_a_port_and_no_tensor(kind: SymKind, dtype: DType) -> None:
    assert port_type(SymType(kind, Symbol("u0")), {}) == ConcreteType(dtype, ())
    with pytest.raises(Unsupported, match="a Python number is not a tensor"):
        concrete(SymType(kind, Symbol("u0")), {})


def test_a_symbol_without_a_value_is_of_the_data() -> None:
    with pytest.raises(Unsupported, match="its size u0 is known only once the data is"):
        scalar_of(Symbol("u0"), {}, "its size ")
