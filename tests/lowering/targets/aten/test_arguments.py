"""Checks before operators that trust their arguments: ordinary calls pass, others are refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from lowering.ir.allowed import allowed
from lowering.targets.aten.arguments import CHECKS, checked
from lowering.targets.aten.fitting import Unfit
from lowering.targets.aten.operators import resolve
from tests.fuzz.calls import sampled

OPERATORS = sorted(target for target in allowed() if target in CHECKS or target.rpartition(".")[0] in CHECKS)
LEAST = torch.iinfo(torch.int64).min
f, i = torch.zeros, torch.zeros(4, dtype=torch.int64)
COMPLEX = torch.zeros(3, 4, dtype=torch.complex64)
LSTM = [f(24, 4), f(24, 6), f(24), f(24)]
LAYER = (
    f(2, 3, 8),
    8,
    0,
    f(24, 8),
    f(24),
    f(8, 8),
    f(8),
    True,
    False,
    1e-5,
    *[f(8)] * 4,
    f(16, 8),
    f(16),
    f(8, 16),
    f(8),
)

# By what is wrong: the operator, its arguments, and what the refusal says.
UNFIT: dict[str, tuple[str, tuple[Any, ...], str]] = {
    "places": (
        "aten.max_pool2d_with_indices_backward.default",
        (f(1, 1, 2, 2), f(1, 1, 4, 4), [2, 2], [2, 2], [0, 0], [1, 1], False, torch.full((1, 1, 2, 2), 16)),
        "indices has places outside self",
    ),
    "a place below 0": (
        "aten.adaptive_max_pool3d_backward.default",
        (f(1, 1, 1, 1, 1), f(1, 1, 2, 2, 2), torch.full((1, 1, 1, 1, 1), -1)),
        "indices has places outside self",
    ),
    "indices of other sizes": (
        "aten.adaptive_max_pool2d_backward.default",
        (f(1, 1, 2, 2), f(1, 1, 4, 4), torch.zeros(1, 1, 2, 1, dtype=torch.int64)),
        "indices is int64[1, 1, 2, 1], which does not fit grad_output",
    ),
    "a gradient": (
        "aten.avg_pool2d_backward.default",
        (f(1, 1, 3, 3), f(1, 1, 4, 4), [2, 2], [2, 2], [0, 0], False, True, None),
        "grad_output is float32[1, 1, 3, 3], not float32[1, 1, 2, 2]",
    ),
    "a gradient of another batch": (
        "aten._adaptive_avg_pool2d_backward.default",
        (f(2, 1, 2, 2), f(1, 1, 4, 4)),
        "grad_output is float32[2, 1, 2, 2]",
    ),
    "a gradient of a loss of margins": (
        "aten.multi_margin_loss_backward.default",
        (f(2, 3), f(4, 3), i, 1, 1.0, None, 0),
        "grad_output is float32[2, 3], and the loss has 4 elements",
    ),
    "margins of no row": (
        "aten.multi_margin_loss_backward.default",
        (f(1), f(0, 3), i[:0], 1, 1.0, None, 1),
        "a loss of float32[0, 3]",
    ),
    "a layer's bias of another dtype": (
        "aten._transformer_encoder_layer_fwd.default",
        (*LAYER[:2], 2, LAYER[3], f(24, dtype=torch.uint8), *LAYER[5:]),
        "qkv_bias is uint8[24], the input float32[2, 3, 8]",
    ),
    "a layer's bias of another size": (
        "aten._transformer_encoder_layer_fwd.default",
        (*LAYER[:2], 2, LAYER[3], f(16), *LAYER[5:]),
        "qkv_bias is float32[16], not [24]",
    ),
    "channels": (
        "aten.native_batch_norm.default",
        (f(2, 3, 4), f(3), f(3), f(2), f(2), True, 0.1, 1e-5),
        "running_mean is not one element for each of 3 channels",
    ),
    "no moments": (
        "aten._native_batch_norm_legit.no_stats",
        (f(2, 3, 4), None, None, False, 0.1, 1e-5),
        "running_mean and running_var are missing",
    ),
    "an axis": ("aten._fft_c2c.default", (COMPLEX, [2], 0, True), "dim=[2] are not axes of complex64[3, 4]"),
    "an axis twice": ("aten._fft_c2c.default", (COMPLEX, [1, 1], 0, True), "dim=[1, 1] are not axes"),
    "a size": ("aten._fft_c2r.default", (COMPLEX, [1], 0, 9), "last_dim_size=9"),
    "memory": ("aten._reshape_alias.default", (f(2, 3), [2, 3], [3, 2]), "reach past the end"),
    "values": (
        "aten.scaled_dot_product_attention.default",
        (f(1, 1, 2, 4), f(1, 1, 3, 4), f(1, 1, 5, 4)),
        "as many keys as values",
    ),
    "heads": (
        "aten._scaled_dot_product_flash_attention_for_cpu.default",
        (f(1, 2, 2, 4), f(1, 0, 3, 4), f(1, 0, 3, 4)),
        "query, key and value do not fit together",
    ),
    "no heads": ("aten._transformer_encoder_layer_fwd.default", LAYER, "attention of 0 heads"),
    "indices with gaps": (
        "aten.adaptive_max_pool3d_backward.default",
        (f(1, 2, 2, 2), f(1, 2, 2, 2), torch.zeros(1, dtype=torch.int64).expand(1, 2, 2, 2)),
        "elements of indices overlap",
    ),
    "an expanded matrix": (
        "aten._int_mm.default",
        (torch.ones(1, 16, dtype=torch.int8).expand(32, 16), torch.ones(16, 8, dtype=torch.int8)),
        "self is expanded",
    ),
    "no number": ("aten._linalg_eigvals.default", (f(2, 2) / 0,), "self has infinities or NaN"),
    "half a block": (
        "aten.linalg_ldl_solve.default",
        (f(3, 3), torch.tensor([1, 2, -3], dtype=torch.int32), f(3, 1)),
        "pivots has half a block of two",
    ),
    "a batch that is broadcast": (
        "aten.linalg_ldl_solve.default",
        (f(2, 3, 3), torch.ones(2, 3, dtype=torch.int32), f(4, 2, 3, 1)),
        "LD is float32[2, 3, 3], and B float32[4, 2, 3, 1]",
    ),
    "overlapping vectors": (
        "aten._weight_norm_interface.default",
        (f(4, 1).as_strided((4, 2), (0, 1)), f(4, 1), 0),
        "elements of v overlap",
    ),
    "norms": ("aten._weight_norm_interface.default", (f(4, 2), f(2, 1), 0), "g is float32[2, 1], not [4, 1]"),
    "bags": ("aten.embedding_bag.default", (f(3, 2), i, i[:0]), "offsets of no bag"),
    "a state": (
        "aten.lstm.input",
        (f(3, 2, 4), [f(1, 1, 6), f(1, 2, 6)], LSTM, True, 1, 0.0, False, False, False),
        "a state is float32[1, 1, 6]",
    ),
    "weights": (
        "aten.lstm.input",
        (f(3, 2, 5), [f(1, 2, 6)] * 2, LSTM, True, 1, 0.0, False, False, False),
        "weights of layer 0 do not fit",
    ),
    "layers": (
        "aten.lstm.input",
        (f(3, 2, 4), [f(1, 2, 6)] * 2, LSTM, True, 102, 0.0, False, False, False),
        "4 weights for 102 layers",
    ),
    "a kernel": (
        "aten.slow_conv3d.default",
        (f(1, 1, 4, 4, 4), f(1, 1, 2, 2, 2), [3, 3, 3]),
        "kernel_size=[3, 3, 3]",
    ),
    "lengths": ("aten.segment_reduce.default", (f(4), "sum"), "lengths has segments outside the axis of 4"),
    "the least integer": ("aten.lcm.default", (torch.tensor([LEAST]), i), "self has the least integer"),
    "a quotient": ("aten.div.Tensor_mode", (torch.tensor([LEAST]), torch.tensor([-1])), "is divided by -1"),
    "a degree": ("aten.special_legendre_polynomial_p.n_scalar", (f(4), 1e12), "takes too long"),
    "a power": ("aten.linalg_matrix_power.default", (f(2, 2), LEAST), "no magnitude"),
    "a label": (
        "aten.ctc_loss.IntList",
        (f(4, 1, 3), torch.tensor([[1, 7]]), [4], [2]),
        "targets are not all among 3 classes",
    ),
    "a mode": (
        "aten.grid_sampler.default",
        (f(1, 1, 2, 2), f(1, 1, 1, 2), 7, 0, False),
        "interpolation_mode=7",
    ),
    "padding": (
        "aten.thnn_conv2d.default",
        (f(1, 1, 4, 4), f(1, 1, 2, 2), [2, 2], None, [1, 1], [0, 1 << 62]),
        "padding",
    ),
    "a window": (
        "aten.max_pool1d.default",
        (f(1, 1, 4), [1 << 40]),
        "a window of 1099511627776 in an axis of 4",
    ),
    "a class": (
        "aten.nll_loss_backward.default",
        (f(2), f(2, 3), torch.tensor([1, 3]), None, 0, -100, f(())),
        "target has classes that are none of 3",
    ),
    "a class of a picture": (
        "aten.nll_loss2d_backward.grad_input",
        (f(1, 2, 2), f(1, 3, 2, 2), torch.full((1, 2, 2), -1), None, 0, -100, f(())),
        "target has classes that are none of 3",
    ),
    "a gradient of nothing": (
        "aten._adaptive_avg_pool3d_backward.default",
        (f(2, 5, 7, 4), f(2, 0, 8, 8)),
        "self has no element: float32[2, 0, 8, 8]",
    ),
    "a target that does not stretch": (
        "aten.binary_cross_entropy.default",
        (f(1), f(0), None, 0),
        "target is float32[0], which does not stretch to self",
    ),
    "integers": (
        "aten.smooth_l1_loss_backward.grad_input",
        (i, i, i, 0, 0.5),
        "grad_output are integers",
    ),
    "no row": ("aten.multilabel_margin_loss_forward.output", (f(0, 5), i.new_zeros(0, 5), 1), "no row"),
    "half-precision weights": (
        "aten._saturate_weight_to_fp16.default",
        (f(3, 2, 18, 1, 0),),
        "weight is float32[3, 2, 18, 1, 0], which is not a matrix",
    ),
    "a factor": (
        "aten._upsample_bicubic2d_aa.out",
        (f(1, 1, 6, 5), [9, 13], False, 1.0),
        "scales_h=1.0 does not make 9 of 6",
    ),
    "an observer's axis": (
        "aten._fused_moving_avg_obs_fq_helper.default",
        (f(2, 3), i[:1], i[:1], f(2), f(2), f(2), i[:2], 0.1, 0, 255, -(1 << 31), True),
        "ch_axis=-2147483648 is none of float32[2, 3]",
    ),
    "an observer's channels": (
        "aten.fused_moving_avg_obs_fake_quant.default",
        (f(2, 3), i[:1], i[:1], f(2), f(2), f(1), i[:2], 0.1, 0, 255, 0, True),
        "scale is float32[1]",
    ),
    "no query": (
        "aten._scaled_dot_product_flash_attention_for_cpu.default",
        (f(1, 1, 0, 4), f(1, 1, 3, 4), f(1, 1, 3, 4)),
        "attention without a query",
    ),
    "no vector": ("aten._weight_norm.default", (f(0, 6), f(0, 1)), "v is float32[0, 6], which has no norm"),
    "no count": ("aten.binomial.default", (f(3) / 0, f(3)), "count has infinities or NaN"),
    "pieces": ("aten.tensor_split.sections", (f(3), 1 << 20), "a split into 1048576 pieces"),
    "a bag before the first index": (
        "aten._embedding_bag.default",
        (f(3, 2), i, torch.tensor([0, -(1 << 40)])),
        "offsets do not ascend",
    ),
    "a bag that ends before it begins": (
        "aten._embedding_bag_forward_only.default",
        (f(3, 2), i, torch.tensor([0, 4, 2])),
        "offsets do not ascend",
    ),
    "repeats": (
        "aten.repeat_interleave.Tensor",
        (torch.tensor([3, -3, 0]),),
        "repeats has numbers below 0",
    ),
    "repeats of a tensor": (
        "aten.repeat_interleave.self_Tensor",
        (f(2), torch.tensor([1 << 61, 1 << 61]), 0),
        "repeats has numbers below 0, or too large ones",
    ),
    "more repeats than room": (
        "aten.repeat_interleave.Tensor",
        (torch.tensor([3, 2]),),
        "output_size=1, and repeats are 5 together",
    ),
    "a fold": (
        "aten.col2im.default",
        (f(2, 24, 6), [4, 4], [2, 2], [1, 1], [1 << 40, 0], [2, 1]),
        "a fold has",
    ),
    "no sum": (
        "aten._scaled_mm.default",
        (f(5, 0).to(torch.float8_e4m3fn), f(0, 7).to(torch.float8_e4m3fn), f(()), f(())),
        "self is float8_e4m3fn[5, 0], with nothing to sum",
    ),
    "no heads of keys": (
        "aten._scaled_dot_product_attention_math.default",
        (f(1, 2, 3, 4), f(1, 0, 3, 4), f(1, 0, 3, 4)),
        "attention in groups has heads",
    ),
    "overlapping norms": (
        "aten._weight_norm_interface.default",
        (f(4, 2), f(1, 1).expand(4, 1), 0),
        "elements of g overlap",
    ),
    "pivots": (
        "aten.linalg_lu_solve.default",
        (f(2, 2), torch.tensor([1, 9]).int(), f(2, 2)),
        "pivots has rows",
    ),
}
NAMED: dict[str, dict[str, Any]] = {
    "lengths": {"lengths": torch.tensor([2, -3]), "unsafe": True},
    "a quotient": {"rounding_mode": "trunc"},
    "a class of a picture": {"grad_input": f(0)},
    "integers": {"grad_input": i.clone()},
    "more repeats than room": {"output_size": 1},
    "no heads of keys": {"enable_gqa": True},
    "no row": {"output": f(0), "is_target": f(0)},
    "a factor": {"out": f(0)},
}


@pytest.mark.parametrize("wrong", UNFIT)
def test_what_does_not_fit_is_refused(wrong: str):
    target, args, text = UNFIT[wrong]
    operator = resolve(target)

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("called")

    with pytest.raises(Unfit) as caught:
        checked(target, operator, never)(*args, **NAMED.get(wrong, {}))
    assert text in str(caught.value)


def test_each_check_is_of_an_operator_that_may_be_run():
    assert all(any(t == n or t.startswith(f"{n}.") for t in OPERATORS) for n in CHECKS)


def test_the_calls_of_our_samples_fit():
    seen = set()
    for target, args, kwargs in sampled():
        if target in OPERATORS:
            operator = resolve(target)
            checked(target, operator, lambda *_, **__: None)(*args, **kwargs)
            seen.add(target)
    assert len(seen) > 40


def test_an_operator_without_a_check_is_called_as_it_is():
    operator = resolve("aten.add.Tensor")
    assert checked("aten.add.Tensor", operator, operator) is operator


def test_elements_of_fake_tensors_are_not_looked_at():
    target = "aten.adaptive_max_pool2d_backward.default"
    operator = resolve(target)
    with FakeTensorMode():
        given = (torch.empty(1, 1, 2, 2), torch.empty(1, 1, 4, 4), torch.empty(1, 1, 2, 2, dtype=torch.int64))
        made = checked(target, operator, operator)(*given)
    assert tuple(made.shape) == (1, 1, 4, 4)
