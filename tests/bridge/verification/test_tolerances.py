"""The tolerance table: which operators round, and how much."""

from __future__ import annotations

import pytest

from bridge.verification.tolerances import (
    TOLERANCES,
    Rounding,
    coarsest_of,
    rounding_of,
    rounding_of_operator,
    tolerance,
)
from lowering.ir.aten import targets
from lowering.ir.types import DType, contiguous
from tests.bridge.samples import lowered
from tests.lowering.graphs import node, program

NAMES = {target.split(".")[1] for target in targets()}


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (
            Rounding.CONTRACTION,
            "addmm bmm _scaled_mm matmul linear conv2d conv_transpose3d convolution layer_norm "
            "native_batch_norm _softmax log_softmax sum mean var_mean prod cumsum logsumexp avg_pool2d "
            "adaptive_avg_pool2d scaled_dot_product_attention mse_loss lstm linalg_vector_norm fft_fft "
            "_fft_r2c upsample_bilinear2d grid_sampler_2d embedding_bag index_add_ scatter_add cdist "
            "nll_loss_forward",
        ),
        (
            Rounding.POINTWISE,
            # what has another's letters in it: gamMa, haMMing, NORMal, STDandard
            "lgamma digamma polygamma igamma hamming_window normal_ log_normal_ add mul div exp sqrt "
            "gelu silu float_power pow erf dropout lerp addcmul",
        ),
        (
            Rounding.EXACT,
            "view permute index gather relu_ max_pool2d_with_indices upsample_nearest2d fft_fftshift "
            "where sort embedding clamp_ to copy_ eq bitwise_and topk",
        ),
    ],
)
def test_kinds(kind: Rounding, names: str) -> None:
    for name in names.split():
        assert name in NAMES, name
        assert rounding_of_operator(f"aten.{name}.default") is kind, name


def test_what_is_not_aten() -> None:
    assert rounding_of_operator("_operator.truediv") is Rounding.EXACT
    assert rounding_of_operator("higher_order.cond") is Rounding.EXACT
    assert rounding_of_operator("mylib.summary.default") is Rounding.POINTWISE


def test_a_program_is_as_error_prone_as_its_worst_node_in_any_branch() -> None:
    assert rounding_of(lowered("mlp").program) is Rounding.CONTRACTION
    assert rounding_of(lowered("view_mutation").program) is not Rounding.CONTRACTION
    assert rounding_of(lowered("branch").program) is not Rounding.EXACT


def test_tolerances_are_a_few_roundings() -> None:
    """Between one unit in the last place and a thousandth of what a wrong value would be off by."""
    unit = {DType.FLOAT64: 2**-53, DType.FLOAT32: 2**-24, DType.FLOAT16: 2**-11, DType.BFLOAT16: 2**-8}
    for (dtype, kind), (rtol, scale) in TOLERANCES.items():
        assert unit[dtype] < rtol < 0.05, (dtype, kind)
        assert scale < rtol, (dtype, kind)
    for dtype in (DType.INT64, DType.BOOL, DType.FLOAT8_E4M3FN):
        assert tolerance(dtype, Rounding.CONTRACTION) == (0, 0)
    assert tolerance(DType.COMPLEX64, Rounding.POINTWISE) == tolerance(DType.FLOAT32, Rounding.POINTWISE)
    assert tolerance(DType.FLOAT32, Rounding.EXACT) == (0, 0)


def test_a_value_that_was_narrowed_on_the_way_has_the_narrow_dtypes_roundings() -> None:
    full, half = contiguous(DType.FLOAT32, (2, 3)), contiguous(DType.BFLOAT16, (2, 3))
    nodes = [
        node("narrow", "aten.to.dtype", self="%x", dtype=DType.BFLOAT16),
        node("wide", "aten.to.dtype", self="%narrow", dtype=DType.FLOAT32),
        node("only_wide", "aten.to.dtype", self="%h", dtype=DType.FLOAT32),
    ]
    types = {"x": full, "h": half, "narrow": half, "wide": full, "only_wide": full}
    made = program(["x", "h"], nodes, ["%wide", "%only_wide"], types)
    assert coarsest_of(made) == {"output 0": DType.BFLOAT16}
