"""Tables of floats that follow from constants become constants; what data is read for stays."""

from __future__ import annotations

import pytest

from lowering.stablehlo import hlo
from lowering.stablehlo.fold_numbers import fold_numbers
from lowering.stablehlo.hlo import ir

STEP = """func.func @main(%x: tensor<3xf32>) -> tensor<3xf32> {
  %n = stablehlo.constant dense<7> : tensor<i64>
  %f = stablehlo.convert %n : (tensor<i64>) -> tensor<f64>
  %r = stablehlo.sqrt %f : tensor<f64>
  %one = stablehlo.constant dense<1.0> : tensor<f64>
  %d = stablehlo.divide %one, %r : tensor<f64>
  %s = stablehlo.convert %d : (tensor<f64>) -> tensor<f32>
  %b = stablehlo.broadcast_in_dim %s, dims = [] : (tensor<f32>) -> tensor<3xf32>
  %y = stablehlo.multiply %x, %b : tensor<3xf32>
  return %y : tensor<3xf32>
}"""
TABLE = """func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %i = stablehlo.iota dim = 0 : tensor<4xf32>
  %h = stablehlo.constant dense<0.5> : tensor<4xf32>
  %a = stablehlo.multiply %i, %h : tensor<4xf32>
  %c = stablehlo.floor %a : tensor<4xf32>
  %y = stablehlo.add %x, %c : tensor<4xf32>
  return %y : tensor<4xf32>
}"""
WHOLE = """func.func @main(%x: tensor<4xi64>) -> tensor<4xi64> {
  %i = stablehlo.iota dim = 0 : tensor<4xi64>
  %y = stablehlo.add %x, %i : tensor<4xi64>
  return %y : tensor<4xi64>
}"""


def folded(text: str) -> str:
    with hlo.make_context(), ir.Location.unknown():
        module = ir.Module.parse(text)
        fold_numbers(hlo.main_of(module).entry_block)
        assert module.operation.verify()
        return str(module)


@pytest.mark.parametrize(
    ("text", "table"),
    [(STEP, "0.377964467"), (TABLE, "[0.000000e+00, 0.000000e+00, 1.000000e+00, 1.000000e+00]")],
)
def test_what_is_read_is_a_constant(text: str, table: str) -> None:
    text = folded(text)
    read = text[text.index(table) :]
    assert f"dense<{table}> : tensor" in text
    assert "%arg0" in read


def test_whole_numbers_stay_as_the_rule_made_them() -> None:
    assert "stablehlo.iota" in folded(WHOLE)
    assert "dense" not in folded(WHOLE)
