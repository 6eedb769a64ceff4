"""The order in which states are found: sizes as numbers, values from outside of regions, and nodes."""

from __future__ import annotations

import pytest

from lowering.ir.batch_axes import Mixing
from lowering.stablehlo.rows.proof import with_batch_axes
from tests.lowering.stablehlo.rows.modules import X4, Y4, Case, check, dynamic_module

SORT = """
    %y = "stablehlo.sort"(%x) <{{dimension = 1 : i64, is_stable = true}}> ({{
      ^bb0(%a: tensor<f32>, %b: tensor<f32>):
        %p = stablehlo.compare LT, %a, {other} : (tensor<f32>, tensor<f32>) -> tensor<i1>
        stablehlo.return %p : tensor<i1>
    }}) : ($R) -> $R
"""
SIZE = "%f = stablehlo.convert %n : (tensor<i64>) -> tensor<f32>"

CASES = [
    Case("a region that reads a value from outside", SORT.format(other="%zero"), {"y": 0}),
    Case(
        "a region that reads the batch size",
        SIZE + SORT.format(other="%f"),
        "computes with the batch size as a number",
    ),
    Case("a size that no result rests on", f"{SIZE}\n%y = stablehlo.negate %x : $R", {"y": 0}),
    Case(
        "one of two results",
        "%y = stablehlo.negate %x : $R\n%z = stablehlo.reverse %x, dims = [0] : $R",
        "reverses the order of the rows",
        results={**Y4, "z": Y4["y"]},
    ),
    Case("a result that is mixed and not returned", """
        %z = stablehlo.reverse %x, dims = [0] : $R
        %y = stablehlo.negate %x : $R
        """, {"y": 0}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_verdicts(case: Case) -> None:
    check(case)


def test_the_node_that_mixes_rows_first_is_named() -> None:
    body = """
        %z = stablehlo.reverse %x, dims = [0] : tensor<?x4xf32> loc("flip")
        %y = stablehlo.negate %z : tensor<?x4xf32> loc("neg")
    """
    found = with_batch_axes(dynamic_module(body, X4, Y4)).batch_axes["s"]
    assert found == Mixing("reverses the order of the rows", "flip")


def test_the_node_that_takes_the_batch_size_is_named() -> None:
    body = """
        %f = stablehlo.convert %n : (tensor<i64>) -> tensor<f32> loc("size")
        %z = stablehlo.dynamic_broadcast_in_dim %f, %n4, dims = [] :
            (tensor<f32>, tensor<2xi64>) -> tensor<?x4xf32> loc("expand")
        %y = stablehlo.divide %x, %z : tensor<?x4xf32> loc("mean")
    """
    found = with_batch_axes(dynamic_module(body, X4, Y4)).batch_axes["s"]
    assert found == Mixing("computes with the batch size as a number", "size")
