"""Masks of memory are bytes behind a barrier where they meet a product of matrices."""

from __future__ import annotations

import pytest
import torch
from expecttest import assert_expected_inline

import bridge
from lowering.ir.module import Module, Port
from lowering.ir.plan import Placement
from lowering.ir.types import DType
from lowering.targets.iree.masks import read_masks_as_bytes
from tests.lowering.targets.iree.through import function, text_through

T, M = "tensor<4x4xf32>", "tensor<4x4xi1>"
MAP = "affine_map<(i, j) -> (i, j)>"
ZERO = "%c = arith.constant 0.0 : f32"
EMPTY = f"%e = tensor.empty() : {T}"
PRODUCT = f"%p = linalg.matmul ins(%x, %w : {T}, {T}) outs(%e : {T}) -> {T}"
RETURN = f"util.return %r : {T}"
HEAD = f"(%x: {T}, %w: {T}, %m: {M}) -> {T}"
WEIGHTED = Module(b"", (Port("w", DType.FLOAT32, (4, 4), weight="w"),), (), "m")


def choose(mask: str, number: str) -> str:
    """Numbers where a mask says so, else zero."""
    return f"""%r = linalg.generic {{indexing_maps = [{MAP}, {MAP}, {MAP}],
        iterator_types = ["parallel", "parallel"]}} ins(%{mask}, %{number} : {M}, {T}) outs(%e : {T}) {{
    ^bb0(%a: i1, %b: f32, %o: f32):
      %s = arith.select %a, %b, %c : f32
      linalg.yield %s : f32
    }} -> {T}"""


NOT = f"""%f = tensor.empty() : {M}
    %yes = arith.constant true
    %n = linalg.generic {{indexing_maps = [{MAP}, {MAP}], iterator_types = ["parallel", "parallel"]}}
        ins(%m : {M}) outs(%f : {M}) {{
    ^bb0(%a: i1, %o: i1):
      %s = arith.xori %a, %yes : i1
      linalg.yield %s : i1
    }} -> {M}"""


def test_a_mask_that_meets_a_product_is_read_as_bytes() -> None:
    text = function(HEAD, ZERO, EMPTY, PRODUCT, choose("m", "p"), RETURN)
    assert_expected_inline(
        text_through(text, read_masks_as_bytes, source=WEIGHTED),
        """\
module {
  util.func public @main(%arg0: tensor<4x4xf32>, %arg1: tensor<4x4xf32>, %arg2: tensor<4x4xi1>) ->
      tensor<4x4xf32> {
    %cst = arith.constant 0.000000e+00 : f32
    %0 = tensor.empty() : tensor<4x4xf32>
    %1 = linalg.matmul ins(%arg0, %arg1 : tensor<4x4xf32>, tensor<4x4xf32>) outs(%0 :
        tensor<4x4xf32>) -> tensor<4x4xf32>
    %2 = tensor.empty() : tensor<4x4xi8>
    %3 = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) ->
        (d0, d1)>], iterator_types = ["parallel", "parallel"]} ins(%arg2 : tensor<4x4xi1>) outs(%2 :
        tensor<4x4xi8>) {
    ^bb0(%in: i1, %out: i8):
      %8 = arith.extui %in : i1 to i8
      linalg.yield %8 : i8
    } -> tensor<4x4xi8>
    %4 = util.optimization_barrier %3 : tensor<4x4xi8>
    %5 = tensor.empty() : tensor<4x4xi1>
    %6 = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) ->
        (d0, d1)>], iterator_types = ["parallel", "parallel"]} ins(%4 : tensor<4x4xi8>) outs(%5 :
        tensor<4x4xi1>) {
    ^bb0(%in: i8, %out: i1):
      %8 = arith.trunci %in : i8 to i1
      linalg.yield %8 : i1
    } -> tensor<4x4xi1>
    %7 = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) ->
        (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>], iterator_types = ["parallel", "parallel"]}
        ins(%6, %1 : tensor<4x4xi1>, tensor<4x4xf32>) outs(%0 : tensor<4x4xf32>) {
    ^bb0(%in: i1, %in_0: f32, %out: f32):
      %8 = arith.select %in, %in_0, %cst : f32
      linalg.yield %8 : f32
    } -> tensor<4x4xf32>
    util.return %7 : tensor<4x4xf32>
  }
}
""",
    )


@pytest.mark.parametrize(
    ("lines", "source", "count"),
    [
        ((PRODUCT, choose("m", "p")), None, 0),
        ((PRODUCT, choose("m", "x")), WEIGHTED, 0),
        ((PRODUCT, NOT, choose("n", "p")), WEIGHTED, 1),
        ((PRODUCT, NOT, choose("n", "x")), WEIGHTED, 0),
        ((PRODUCT, choose("m", "p").replace("%r", "%q"), choose("m", "q")), WEIGHTED, 1),
        ((PRODUCT, f"%y = arith.constant dense<true> : {M}", choose("y", "p")), WEIGHTED, 0),
    ],
    ids=["no weight", "no product", "negated", "negated, no product", "twice", "constant"],
)
def test_which_masks_are_read_as_bytes(lines: tuple[str, ...], source: Module | None, count: int) -> None:
    text = function(HEAD, ZERO, EMPTY, *lines, RETURN)
    through = text_through(text, read_masks_as_bytes, source=source)
    assert through.count("util.optimization_barrier") == count


class Masked(torch.nn.Module):
    """Products of many rows and of one, chosen by masks of an argument, of parts and of a slice."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(32, 32)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        parts = torch.cat([mask[5:], mask[:5]])
        x = torch.where(mask, self.linear(x), x)
        return self.linear(x).masked_fill(~parts, 0.5), self.linear(x[0]) * mask[0]


def test_products_and_masks_of_memory_compile() -> None:
    torch.manual_seed(0)
    model, given = Masked().eval(), (torch.randn(80, 32), torch.rand(80, 32) > 0.5)
    compiled = bridge.lower(model, given).compile("iree")
    assert compiled.report.nodes(Placement.ATEN) == 0, compiled.report.plan.reasons
    with torch.no_grad():
        torch.testing.assert_close(compiled(*given), model(*given))
