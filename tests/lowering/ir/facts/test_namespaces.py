"""Whose operator a target names."""

from __future__ import annotations

import pytest

from lowering.ir.aten import schema, targets
from lowering.ir.facts.namespaces import base_name, has_schema, is_higher_order, is_python, is_torchs
from lowering.targets.aten.operators import SCALAR


def test_functions_of_numbers_are_those_that_run_without_torch() -> None:
    assert all(is_python(target) for target in SCALAR)
    assert not any(has_schema(target) for target in SCALAR)


def test_what_the_table_has_is_of_a_namespace_with_schemas() -> None:
    for target in (*targets("aten"), *targets("prims"), *targets("quantized_decomposed")):
        assert has_schema(target), target
    assert not is_torchs("quantized_decomposed.add.default")
    assert is_torchs("prims.add.default")


def test_higher_order_operators_have_no_schema() -> None:
    assert is_higher_order("higher_order.cond")
    assert not has_schema("higher_order.cond")
    assert schema("higher_order.cond") is None


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("aten.index_copy_.default", "index_copy"),
        ("aten.index_copy.default", "index_copy"),
        ("aten.__and__.Tensor", "__and__"),
        ("aten._unsafe_view.default", "_unsafe_view"),
        ("torch.sym_max", "sym_max"),
        ("odd", "odd"),
    ],
)
def test_base_names(target: str, expected: str) -> None:
    assert base_name(target) == expected
