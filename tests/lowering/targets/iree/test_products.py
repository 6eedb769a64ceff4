"""Products are tied to their sizes where a call says them; the count of terms is a size of its own."""

from __future__ import annotations

import pytest
import torch
from expecttest import assert_expected_inline
from torch.export import Dim

import bridge
from lowering.ir.module import Module, Port
from lowering.ir.types import DType
from lowering.targets.iree.engine import Iree
from lowering.targets.iree.products import tie_products
from lowering.targets.target import CPU
from tests.lowering.targets.iree.through import function, text_through

WEIGHTED = Module(b"", (Port("w", DType.FLOAT32, (4, 4), weight="w"),), (), "m")
LEFT, RIGHT, RESULT = "(b, m, n, k) -> (b, m, k)", "(b, m, n, k) -> (b, k, n)", "(b, m, n, k) -> (b, m, n)"


def matmul(left: str, right: str, result: str) -> str:
    """A module with one product of two arguments."""
    x, y, o = (f"tensor<{sizes}xf32>" for sizes in (left, right, result))
    return function(
        f"(%x: {x}, %y: {y}, %o: {o}) -> {o}",
        f"%r = linalg.matmul ins(%x, %y : {x}, {y}) outs(%o : {o}) -> {o}",
        f"util.return %r : {o}",
    )


def nest(*axes: str) -> str:
    """A module with one loop nest of four loops, the last one a sum."""
    maps = ", ".join(f"affine_map<{map_}>" for map_ in axes)
    t = "tensor<?x?x?xf32>"
    return function(
        f"(%x: {t}, %y: {t}, %o: {t}) -> {t}",
        f"%r = linalg.generic {{indexing_maps = [{maps}],",
        '    iterator_types = ["parallel", "parallel", "parallel", "reduction"]}',
        f"    ins(%x, %y : {t}, {t}) outs(%o : {t}) {{",
        "^bb0(%a: f32, %b: f32, %c: f32):",
        "  %p = arith.mulf %a, %b : f32",
        "  %s = arith.addf %c, %p : f32",
        "  linalg.yield %s : f32",
        f"}} -> {t}",
        f"util.return %r : {t}",
    )


def test_operands_and_result_are_tied_and_operands_share_the_count_of_terms() -> None:
    assert_expected_inline(
        text_through(matmul("?x?", "?x8", "?x8"), tie_products, source=WEIGHTED),
        """\
module {
  util.func public @main(%arg0: tensor<?x?xf32>, %arg1: tensor<?x8xf32>, %arg2: tensor<?x8xf32>) ->
      tensor<?x8xf32> {
    %c0 = arith.constant 0 : index
    %dim = tensor.dim %arg0, %c0 : tensor<?x?xf32>
    %c1 = arith.constant 1 : index
    %dim_0 = tensor.dim %arg0, %c1 : tensor<?x?xf32>
    %0 = util.optimization_barrier %dim_0 : index
    %1 = flow.tensor.tie_shape %arg0 : tensor<?x?xf32>{%dim, %0}
    %2 = flow.tensor.tie_shape %arg1 : tensor<?x8xf32>{%0}
    %3 = linalg.matmul ins(%1, %2 : tensor<?x?xf32>, tensor<?x8xf32>) outs(%arg2 : tensor<?x8xf32>)
        -> tensor<?x8xf32>
    %c0_1 = arith.constant 0 : index
    %dim_2 = tensor.dim %arg2, %c0_1 : tensor<?x8xf32>
    %4 = flow.tensor.tie_shape %3 : tensor<?x8xf32>{%dim_2}
    util.return %4 : tensor<?x8xf32>
  }
}
""",
    )


def test_a_loop_nest_that_sums_products_is_one_too() -> None:
    made = text_through(nest(LEFT, RIGHT, RESULT), tie_products, source=WEIGHTED)
    assert made.count("util.optimization_barrier") == 1
    assert made.count("flow.tensor.tie_shape") == 3


@pytest.mark.parametrize(
    "axes",
    [
        ("(b, m, n, k) -> (b, m, n)", "(b, m, n, k) -> (b, m, k)", RESULT),
        ("(b, m, n, k) -> (b, m + k, n)", RIGHT, RESULT),
    ],
    ids=["one operand is summed", "a window"],
)
def test_other_loop_nests_stay(axes: tuple[str, ...]) -> None:
    assert "tie_shape" not in text_through(nest(*axes), tie_products, source=WEIGHTED)


def test_plain_sizes_and_modules_without_weights_stay() -> None:
    assert "tie_shape" not in text_through(matmul("4x4", "4x8", "4x8"), tie_products, source=WEIGHTED)
    assert "tie_shape" not in text_through(matmul("?x?", "?x8", "?x8"), tie_products)


class ScaledRows(torch.nn.Module):
    """A product of a batch over a number for each of its rows."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.mix = torch.nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = torch.exp(x @ x.transpose(1, 2))
        return self.mix(scores @ x / scores.sum(2, keepdim=True))


def test_rows_that_fill_no_tile_are_divided() -> None:
    sizes = {0: Dim("batch", max=8), 1: Dim("length", max=64)}
    lowered = bridge.lower(ScaledRows(), (torch.randn(3, 7, 4),), dynamic_shapes=(sizes,))
    compiled = lowered.compile("iree", on_new_size="dynamic")
    for batch, length in ((1, 1), (3, 5), (2, 17), (1, 64)):
        x = torch.randn(batch, length, 4)
        torch.testing.assert_close(compiled(x), ScaledRows()(x), rtol=1e-5, atol=1e-5)
    assert compiled.report.tiers["dynamic"] == 4


class OneHead(torch.nn.Module):
    """Scores times values: the sum has as many terms as there are rows."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.mix = torch.nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.mix(x)
        return torch.softmax(y @ y.transpose(1, 2), dim=2) @ y


def test_attention_over_more_rows_than_a_tile_is_packed_and_right() -> None:
    sizes = {0: Dim("batch", max=8), 1: Dim("length", max=300)}
    lowered = bridge.lower(OneHead(), (torch.randn(3, 7, 16),), dynamic_shapes=(sizes,))
    assert b"_encoding_" in Iree().compile_dynamic(lowered.dynamic_module(), CPU)
    compiled = lowered.compile("iree", on_new_size="dynamic")
    for batch, length in ((1, 1), (2, 64), (1, 65), (8, 131), (1, 300)):
        x = torch.randn(batch, length, 16)
        torch.testing.assert_close(compiled(x), OneHead()(x), rtol=1e-5, atol=1e-5)
    assert compiled.report.tiers["dynamic"] == 5
