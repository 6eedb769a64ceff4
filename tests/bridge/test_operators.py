"""What is told of one operator: its rule, dtypes and engines as measured, and the reasons of the rest."""

from __future__ import annotations

from typing import Any

import pytest

from bridge import operators
from bridge.operators import Overload, Seen, describe, operator

NUMBERS = {"lowered": ["float32", "float64"], "aten": [["halves are rounded twice", ["float16"]]]}
NEVER = {"lowered": [], "aten": [["its size depends on data", ["float32"]]]}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    found: dict[str, Any] = {"aten.relu.default": {"xla": NUMBERS, "iree": NUMBERS}}
    found |= {"aten.addr.default": {"xla": NUMBERS}, "aten.nonzero.default": {"xla": NEVER}}
    monkeypatch.setattr(operators, "measured", lambda: {"versions": {}, "operators": found})
    monkeypatch.setattr("lowering.stablehlo.registry.rule_for", {"aten.relu.default": _Rule}.get)
    return found


class _Rule:
    """Stands for a registered rule."""

    @staticmethod
    def emit() -> None: ...


def test_one_with_a_rule(measured: dict[str, Any]) -> None:
    assert describe("aten.relu.default") == [
        f"aten.relu.default: rule in {__name__}",
        "  xla: lowered for float32, float64",
        "  xla: on ATen for float16: halves are rounded twice",
        "  iree: lowered for float32, float64",
        "  iree: on ATen for float16: halves are rounded twice",
    ]


def test_one_without(measured: dict[str, Any]) -> None:
    assert describe("aten.addr.default")[0] == "aten.addr.default: decomposition"
    assert describe("aten.nonzero.default") == [
        "aten.nonzero.default: ATen",
        "  xla: on ATen for float32: its size depends on data",
    ]


def test_one_never_met(measured: dict[str, Any]) -> None:
    assert operator("aten.nope.default") == Overload("aten.nope.default", "", ())
    (line,) = describe("aten.nope.default")
    assert line.startswith("aten.nope.default: no rule; ")
    assert operator("aten.nope.default").json() == {"op": "aten.nope.default", "how": None, "engines": {}}


def test_as_json() -> None:
    seen = Seen("xla", ("float32",), (("too big", ("int64", "int32")),))
    assert Overload("aten.a.b", "ATen", (seen,)).json() == {
        "op": "aten.a.b",
        "how": "ATen",
        "engines": {"xla": {"lowered": ["float32"], "aten": {"too big": ["int64", "int32"]}}},
    }


def test_the_data_are_of_known_operators() -> None:
    from lowering.ir.aten import schema

    data = operators.measured()["operators"]
    assert data
    assert [target for target in data if schema(target) is None] == []


def test_no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    operators.measured.cache_clear()
    monkeypatch.setattr(operators, "MEASURED", tmp_path / "none.json")
    try:
        assert operators.measured() == {"versions": {}, "operators": {}}
        assert operator("aten.nonzero.default").how == ""
    finally:
        operators.measured.cache_clear()
