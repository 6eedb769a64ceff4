"""What an engine refuses: its own words, sorted by kind, and modules that show it."""

from __future__ import annotations

import pytest

from lowering.ir.module import Module
from lowering.stablehlo import hlo
from lowering.stablehlo.hlo import ir
from tests.opdb import engine_errors, store
from tests.opdb.cases import Row
from tests.opdb.engine_errors import error_text, refusals

TEXT = """
func.func @main(%a: tensor<4xf32>, %b: tensor<4xf32>) -> tensor<4xf32> {
  %two = stablehlo.constant dense<2.0> : tensor<4xf32>
  %sum = stablehlo.add %a, %two : tensor<4xf32>
  %sine = stablehlo.sine %sum : tensor<4xf32>
  %product = stablehlo.multiply %sine, %b : tensor<4xf32>
  return %product : tensor<4xf32>
}
"""


def _row(case: str, **aten: str) -> Row:
    return Row(case, "mixed", aten={name.replace("_", "."): reason for name, reason in aten.items()})


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("iree: iree segment_0: undefined symbol: sin", "undefined symbol: sin"),
        ("iree: iree segment_3: no (the last of 17 refusals)", "no"),
        ('iree: iree alone: loc("a"): failed: fft', "failed: fft"),
    ],
)
def test_errors_are_the_engines_own_words(reason: str, text: str) -> None:
    assert error_text(reason) == text


def test_errors_that_differ_by_sizes_are_one() -> None:
    rows = [
        _row("a/float32/0", aten_a="iree: iree segment_0: 2,000 of tensor<4x5xf32>"),
        _row("b/float64/1", aten_b="iree: iree segment_1: 30 of tensor<6x7xf32>", aten_c="no rule"),
        _row("b/float64/2", aten_b="iree: iree segment_0: 30 of tensor<6x7xf64>"),
    ]
    first, second = refusals("iree", rows)
    assert first.overloads == {"aten.a", "aten.b"}
    assert first.dtypes == {"float32", "float64"}
    assert second.rows == rows[2:]


def test_the_smallest_part_that_is_refused_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    with hlo.make_context() as context, ir.Location.unknown():
        code = hlo.serialize(ir.Module.parse(TEXT, context))
    monkeypatch.setattr(store, "FOLDER", tmp_path)
    monkeypatch.setattr(engine_errors, "_modules", lambda row, overloads: iter([engine_errors.alone(code)]))
    tried = []

    def failure(engine: str, module: Module) -> str | None:
        tried.append(hlo.text_of(module.code))
        return "no sine here" if "sine" in tried[-1] else None

    monkeypatch.setattr(engine_errors, "_failure", failure)
    (refusal,) = refusals("iree", [_row("a/float32/0", aten_a="iree: iree segment_0: no sine here")])
    shown = engine_errors.example("iree", refusal)
    assert shown is not None
    assert shown.case == "a/float32/0"
    assert "add" not in shown.module
    assert "multiply" not in shown.module
    before = len(tried)
    assert engine_errors.example("iree", refusal) == shown
    assert len(tried) == before, "what was found is kept"


def test_a_refused_operation_is_found_on_iree(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(store, "FOLDER", tmp_path)
    text = TEXT.replace("f32", "f64")
    with hlo.make_context() as context, ir.Location.unknown():
        code = hlo.serialize(ir.Module.parse(text, context))
    monkeypatch.setattr(engine_errors, "_modules", lambda row, overloads: iter([engine_errors.alone(code)]))
    reason = "iree: iree segment_0: undefined symbol: sin"
    (refusal,) = refusals("iree", [_row("a/float64/0", aten_a=reason)])
    shown = engine_errors.example("iree", refusal)
    assert shown is not None
    assert "stablehlo.sine %arg0" in shown.module
