"""The table of rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import lowering.stablehlo.ops
from lowering.ir.aten import REQUIRED
from lowering.ir.custom_operators import schema_of
from lowering.stablehlo import registry
from lowering.stablehlo.registry import (
    FAMILIES,
    OPTIONS,
    add_rules,
    all_rules,
    lowers,
    rule_for,
)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """An empty table in the place of the real one."""
    rules: dict[str, Any] = {}
    monkeypatch.setattr(registry, "_RULES", rules)
    monkeypatch.setattr(registry, "load_families", lambda: None)
    return rules


def test_two_rules_for_one_overload_are_an_error(table: dict[str, Any]) -> None:
    add_rules([("aten.neg.default", lambda cx, self: self)])
    with pytest.raises(ValueError, match=r"two rules for aten\.neg\.default"):
        lowers("aten.neg.default")(lambda cx, self: self)
    with pytest.raises(ValueError, match=r"two rules for aten\.abs\.default"):
        lowers("aten.abs.default", "aten.abs.default")(lambda cx, self: self)


def test_a_rule_takes_what_its_function_names(table: dict[str, Any]) -> None:
    @lowers("aten.random.from")
    def random(cx: Any, self: Any, from_: int, to: int | None = None) -> Any:
        return self

    assert rule_for("aten.random.from") == table["aten.random.from"]
    assert table["aten.random.from"].accepts == {"self", "from", "to"}


def test_what_was_in_place_takes_its_namesake_s_rule_unless_it_has_its_own(table: dict[str, Any]) -> None:
    add_rules([("aten.add.Tensor", lambda cx, self: self)])
    assert rule_for("aten.add_.Tensor") is table["aten.add.Tensor"]
    assert rule_for("aten.add.Scalar") is None
    add_rules([("aten.add_.Tensor", lambda cx, self: self)])
    assert rule_for("aten.add_.Tensor") is table["aten.add_.Tensor"]


def test_every_family_of_the_folder_is_loaded() -> None:
    folder = Path(lowering.stablehlo.ops.__path__[0])
    helpers = {p.stem for p in folder.glob("*.py") if "@lowers(" not in p.read_text()}
    helpers = {name for name in helpers if "add_rules(" not in (folder / f"{name}.py").read_text()}
    assert {p.stem for p in folder.glob("*.py")} - helpers == set(FAMILIES)


def test_every_rule_names_an_overload_and_each_required_argument() -> None:
    for target, rule in all_rules().items():
        found = schema_of(target)
        if found is None:
            assert target.startswith("higher_order."), target
            continue
        required = {p.name for p in found.parameters if p.default is REQUIRED}
        missing = required - rule.accepts - OPTIONS
        assert not missing, f"{target} leaves out {missing}"
