"""Operators that check the data or the sizes, and compute nothing."""

from __future__ import annotations

# They only check, or only speak of sizes: the executor and the guards see to them before a call. ATen checks
# their claims on numbers that only the data gives.
_NO_CODE = frozenset(
    f"aten.{name}.default"
    for name in ("_assert_tensor_metadata", "sym_constrain_range", "sym_constrain_range_for_size")
)
_ASSERT_SCALAR = "aten._assert_scalar.default"
_ASSERT_FUNCTIONAL_SCALAR = "aten._functional_assert_scalar.default"

# They return a token, by which others are ordered.
_ORDERING = frozenset(
    f"aten.{name}"
    for name in (
        *("_functional_assert_async.msg", "_functional_assert_scalar.default", "_make_dep_token.default"),
        *("_functional_sym_constrain_range.default", "_functional_sym_constrain_range_for_size.default"),
    )
)


def needs_no_code(target: str) -> bool:
    """Whether an operator is done before a call, unless it is about numbers that only the data gives."""
    return target in _NO_CODE


def is_check(target: str) -> bool:
    """Whether an operator without results holds sizes or numbers to what the exporter took them for."""
    return target in _NO_CODE or target == _ASSERT_SCALAR


def asserts_number(target: str) -> bool:
    """Whether an operator raises, with the exporter's text, where a number is not true."""
    return target in (_ASSERT_SCALAR, _ASSERT_FUNCTIONAL_SCALAR)


def asserts_metadata(target: str) -> bool:
    """Whether an operator holds a tensor's dtype, sizes and the like to what the exporter took them for."""
    return target == "aten._assert_tensor_metadata.default"


def only_orders(target: str) -> bool:
    """Whether the results of an operator only say what runs after it."""
    return target in _ORDERING
