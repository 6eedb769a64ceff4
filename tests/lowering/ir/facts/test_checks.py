"""What the tables call a check is one by its schema: it has no results, or a token."""

from __future__ import annotations

from lowering.ir.aten import schema, targets
from lowering.ir.facts.checks import asserts_number, is_check, needs_no_code, only_orders


def test_checks_have_no_results() -> None:
    found = [target for target in targets() if is_check(target)]
    assert len(found) == 4
    assert all(not known.returns for target in found if (known := schema(target)) is not None)


def test_what_needs_no_code_is_a_check() -> None:
    found = [target for target in targets() if needs_no_code(target)]
    assert len(found) == 3
    assert all(map(is_check, found))


def test_what_only_orders_returns_a_token() -> None:
    found = [target for target in targets() if only_orders(target)]
    assert len(found) == 5
    for target in found:
        known = schema(target)
        assert known is not None
        assert [result.type for result in known.returns] == ["Tensor"]
        assert target.startswith("aten._make") or known.parameters[-1].name == "dep_token"


def test_assertions_about_numbers_take_a_message() -> None:
    found = [target for target in targets() if asserts_number(target)]
    assert len(found) == 2
    for target in found:
        known = schema(target)
        assert known is not None
        assert [p.name for p in known.parameters[:2]] == ["self", "assert_msg"]
