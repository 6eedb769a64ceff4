"""What docs/ says of operators is what the registry and the last conformance run say."""

from __future__ import annotations

from bridge.operators import describe
from tests.opdb import operators_page
from tests.opdb.operators_page import PAGE, core_without_rule


def test_operators_page_is_fresh() -> None:
    assert PAGE.read_text() == operators_page.render(), "stale: run python -m tests.opdb --report-only"


def test_core_operators_without_a_rule_have_a_reason() -> None:
    gaps = [target for target, reason in core_without_rule().items() if not reason]
    assert not gaps, gaps


def test_an_operator_is_described() -> None:
    assert describe("aten.relu.default")[0] == "aten.relu.default: rule in lowering.ops.activation"
    assert "no rule" in describe("aten.nonzero.out")[0]
