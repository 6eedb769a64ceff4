"""Products of one row of bfloat16 with a weight, in strips."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from expecttest import assert_expected_inline

from lowering.ir.module import Port
from lowering.ir.types import DType
from lowering.targets.iree import compile as iree_compile
from lowering.targets.iree.engine import Iree
from lowering.targets.iree.rows import rows_in_strips
from lowering.targets.target import CPU, this_machine
from tests.lowering.targets.engine_modules import module, tensor
from tests.lowering.targets.iree.through import function, text_through


@pytest.mark.parametrize("columns", [1, 15, 16, 48, 64, 100, 160])
@pytest.mark.parametrize("rows", [1, 40])
def test_a_row_times_a_weight_of_any_width(rows: int, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small integers: each product and sum is exact, in whatever order."""
    machine = this_machine()._replace(has_bfloat16=False)
    monkeypatch.setattr(iree_compile, "this_machine", lambda: machine)
    x, w = Port("x", DType.BFLOAT16, (1, rows)), Port("w", DType.BFLOAT16, (columns, rows), "w")
    y = Port("y", DType.FLOAT32, (1, columns))
    program = module(
        "%y = stablehlo.dot_general %x, %w, contracting_dims = [1] x [1] : "
        f"({tensor(x)}, {tensor(w)}) -> {tensor(y)}", (x, w), (y,)
    )  # fmt: skip
    generator = np.random.default_rng(0)
    given, weight = (
        generator.integers(-8, 9, port.sizes).astype(ml_dtypes.bfloat16) for port in (x, w)
    )  # fmt: skip
    engine = Iree()
    executable = engine.load(engine.compile(program, CPU), program, CPU, {"w": weight})
    (result,) = executable([engine.from_tensor(given, CPU)])
    wanted = given.astype(np.float32) @ weight.astype(np.float32).T
    np.testing.assert_array_equal(engine.to_numpy(result), wanted)


def product(rows: int, columns: int, element: str) -> str:
    x, w, y = f"tensor<{rows}x{element}>", f"tensor<{rows}x{columns}x{element}>", f"tensor<{columns}xf32>"
    return function(
        f"(%x: {x}, %w: {w}, %y: {y}) -> {y}",
        f"%r = linalg.vecmat ins(%x, %w : {x}, {w}) outs(%y : {y}) -> {y}",
        f"util.return %r : {y}",
    )


def test_a_product_is_spelled_in_strips() -> None:
    assert_expected_inline(
        text_through(product(3, 40, "bf16"), rows_in_strips),
        """\
module {
  util.func public @main(%arg0: tensor<3xbf16>, %arg1: tensor<3x40xbf16>, %arg2: tensor<40xf32>) ->
      tensor<40xf32> {
    %0 = tensor.empty() : tensor<3xf32>
    %1 = linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>],
        iterator_types = ["parallel"]} ins(%arg0 : tensor<3xbf16>) outs(%0 : tensor<3xf32>) {
    ^bb0(%in: bf16, %out: f32):
      %6 = arith.bitcast %in : bf16 to i16
      %7 = arith.extui %6 : i16 to i32
      %c16_i32 = arith.constant 16 : i32
      %8 = arith.shli %7, %c16_i32 : i32
      %9 = arith.bitcast %8 : i32 to f32
      linalg.yield %9 : f32
    } -> tensor<3xf32>
    %cst = arith.constant 0.000000e+00 : bf16
    %2 = tensor.empty() : tensor<3x3x16xbf16>
    %pack = linalg.pack %arg1 padding_value(%cst : bf16) outer_dims_perm = [1, 0] inner_dims_pos =
        [1] inner_tiles = [16] into %2 : tensor<3x40xbf16> -> tensor<3x3x16xbf16>
    %cst_0 = arith.constant 0.000000e+00 : f32
    %3 = tensor.empty() : tensor<3x16xf32>
    %4 = linalg.fill ins(%cst_0 : f32) outs(%3 : tensor<3x16xf32>) -> tensor<3x16xf32>
    %5 = linalg.generic {indexing_maps = [affine_map<(d0, d1, d2) -> (d2)>, affine_map<(d0, d1, d2)
        -> (d0, d2, d1)>, affine_map<(d0, d1, d2) -> (d0, d1)>], iterator_types = ["parallel",
        "parallel", "reduction"]} ins(%1, %pack : tensor<3xf32>, tensor<3x3x16xbf16>) outs(%4 :
        tensor<3x16xf32>) attrs =  {compilation_info =
        #iree_codegen.compilation_info<lowering_config = #iree_cpu.lowering_config<distribution =
        [3, 16, 0], vector_common_parallel = [1, 16, 0], vector_reduction = [0, 0, 1]>,
        translation_info = <pipeline = #iree_cpu.pipeline<DoubleTilingExpert>>>} {
    ^bb0(%in: f32, %in_1: bf16, %out: f32):
      %6 = arith.bitcast %in_1 : bf16 to i16
      %7 = arith.extui %6 : i16 to i32
      %c16_i32 = arith.constant 16 : i32
      %8 = arith.shli %7, %c16_i32 : i32
      %9 = arith.bitcast %8 : i32 to f32
      %10 = arith.mulf %in, %9 : f32
      %11 = arith.addf %out, %10 : f32
      linalg.yield %11 : f32
    } -> tensor<3x16xf32>
    %collapsed = tensor.collapse_shape %5 [[0, 1]] : tensor<3x16xf32> into tensor<48xf32>
    %extracted_slice = tensor.extract_slice %collapsed[0] [40] [1] : tensor<48xf32> to
        tensor<40xf32>
    util.return %extracted_slice : tensor<40xf32>
  }
}
""",
    )


@pytest.mark.parametrize(
    ("columns", "share", "beside"), [(1, 1, 1), (16, 1, 1), (32, 2, 2), (64, 4, 4), (1024, 8, 4)]
)
def test_the_tiles_of_a_product(columns: int, share: int, beside: int) -> None:
    text = text_through(product(3, columns, "bf16"), rows_in_strips)
    assert f"distribution = [{share}, 16, 0]" in " ".join(text.split())
    assert f"vector_common_parallel = [{beside}, 16, 0]" in " ".join(text.split())
    assert ("padding_value" in text) == ("tensor.extract_slice" in text) == (columns % 16 != 0)


def test_other_products_stay() -> None:
    given = product(3, 40, "f32")
    assert text_through(given, rows_in_strips) == text_through(given)
