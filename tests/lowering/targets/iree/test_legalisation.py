"""What IREE refuses, crashes on or computes wrongly as it is written has XLA's results after its pipeline."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.binaries import Site, after_passes
from lowering.targets import get_engine
from lowering.targets.target import TargetOptions
from tests.lowering.stablehlo.passes.through import module_of, results_of, scatter

RANDOM = np.random.default_rng(0)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


ROWS = "inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1"
FAR = np.array([[0], [5], [2], [2], [1 << 40], [-1], [4], [-(1 << 33)]])

CASES = {
    "a window with more behind it": (
        """
        func.func public @main(%x: tensor<1x1x5xf32>, %w: tensor<1x1x3xf32>) -> tensor<1x1x1xf32> {
          %0 = stablehlo.convolution(%x, %w) dim_numbers = [b, f, 0]x[o, i, 0]->[b, f, 0],
            window = {stride = [3]} {batch_group_count = 1 : i64, feature_group_count = 1 : i64}
            : (tensor<1x1x5xf32>, tensor<1x1x3xf32>) -> tensor<1x1x1xf32>
          return %0 : tensor<1x1x1xf32>
        }
        """,
        [floats(1, 1, 5), floats(1, 1, 3)],
    ),
    "a product without terms": (
        """
        func.func public @main(%x: tensor<3x0xf32>, %y: tensor<0x4xf32>) -> tensor<3x4xf32> {
          %0 = stablehlo.dot_general %x, %y, contracting_dims = [1] x [0]
            : (tensor<3x0xf32>, tensor<0x4xf32>) -> tensor<3x4xf32>
          return %0 : tensor<3x4xf32>
        }
        """,
        [floats(3, 0), floats(0, 4)],
    ),
    "a complex pad": (
        """
        func.func public @main(%x: tensor<5x3x7xcomplex<f32>>, %f: tensor<complex<f32>>)
            -> tensor<5x3x10xcomplex<f32>> {
          %0 = stablehlo.pad %x, %f, low = [0, 0, 0], high = [0, 0, 3], interior = [0, 0, 0]
            : (tensor<5x3x7xcomplex<f32>>, tensor<complex<f32>>) -> tensor<5x3x10xcomplex<f32>>
          return %0 : tensor<5x3x10xcomplex<f32>>
        }
        """,
        [floats(5, 3, 7) + 1j * floats(5, 3, 7), np.array(2 + 3j, np.complex64)],
    ),
    "equal elements": (
        """
        func.func public @main(%x: tensor<4x50xi32>, %y: tensor<4x50xf32>)
            -> (tensor<4x50xi32>, tensor<4x50xf32>) {
          %0:2 = "stablehlo.sort"(%x, %y) <{dimension = 1 : i64, is_stable = true}> ({
            ^bb0(%a: tensor<i32>, %b: tensor<i32>, %c: tensor<f32>, %d: tensor<f32>):
              %1 = stablehlo.compare LT, %a, %b : (tensor<i32>, tensor<i32>) -> tensor<i1>
              stablehlo.return %1 : tensor<i1>
            }) : (tensor<4x50xi32>, tensor<4x50xf32>) -> (tensor<4x50xi32>, tensor<4x50xf32>)
          return %0#0, %0#1 : tensor<4x50xi32>, tensor<4x50xf32>
        }
        """,
        [RANDOM.integers(0, 3, (4, 50), dtype=np.int32), floats(4, 50)],
    ),
    "sums of booleans": (
        """
        func.func public @main(%x: tensor<3xi1>, %y: tensor<i1>) -> (tensor<3xi1>, tensor<i1>) {
          %0 = stablehlo.add %x, %x : tensor<3xi1>
          %1 = stablehlo.add %y, %y : tensor<i1>
          return %0, %1 : tensor<3xi1>, tensor<i1>
        }
        """,
        [np.array([True, False, True]), np.array(True)],
    ),
    "booleans scattered": (
        scatter("5", "8x1", "8", ROWS, "i1"),
        [np.zeros(5, bool), np.array([[0], [1], [2], [2], [3], [3], [3], [7]]), np.ones(8, bool)],
    ),
    "indices out of bounds": (scatter("5", "8x1", "8", ROWS), [floats(5), FAR, floats(8)]),
    "narrow indices out of bounds": (
        scatter("300", "3x1", "3", ROWS, integer="i8"),
        [floats(300), np.array([[3], [-1], [127]], np.int8), floats(3)],
    ),
    "complex numbers out of bounds": (
        scatter("5", "8x1", "8", ROWS, "complex<f32>"),
        [floats(5) + 1j * floats(5), FAR, floats(8) + 1j * floats(8)],
    ),
    "one index of 64 bits": (
        scatter(
            "5x3", "1x1", "5x1",
            "update_window_dims = [0], inserted_window_dims = [1], scatter_dims_to_operand_dims = [1], "
            "index_vector_dim = 1",
        ),
        [floats(5, 3), np.array([[1]]), floats(5, 1)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_results_are_those_of_xla(name: str) -> None:
    text, inputs = CASES[name]
    module = module_of(text)
    after = after_passes(module, Site(get_engine("iree"), TargetOptions()))
    for found, want in zip(results_of(after, "iree", inputs), results_of(module, "xla", inputs), strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-6)
