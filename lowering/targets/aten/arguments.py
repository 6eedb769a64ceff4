"""Checks of an operator's arguments that ATen does not make, before the call.

A file may give an operator any arguments. Each operator here trusts that autograd, or another operator, made
its arguments. On others it was seen to crash, to access memory outside its tensors, or not to end. Other
operators are refused (`lowering/ir/allowed.py`) or need no check. A check costs some microseconds, so there
is one only where it was needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from lowering.targets.aten import fitting, fitting_layers
from lowering.targets.aten.fitting import Check

_NORMS = (
    *("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_functional"),
    *("_native_batch_norm_legit_no_training", "_batch_norm_with_update", "_batch_norm_impl_index"),
)
_POLYNOMIALS = (
    *("chebyshev_polynomial_t", "chebyshev_polynomial_u", "chebyshev_polynomial_v", "chebyshev_polynomial_w"),
    *("shifted_chebyshev_polynomial_t", "shifted_chebyshev_polynomial_u", "shifted_chebyshev_polynomial_v"),
    *("shifted_chebyshev_polynomial_w", "hermite_polynomial_h", "hermite_polynomial_he"),
    *("laguerre_polynomial_l", "legendre_polynomial_p"),
)

_SAMPLERS = ("grid_sampler", "grid_sampler_2d", "grid_sampler_3d")
# The overload `vec` computes its sizes from its factors.
_ANTIALIASED = (
    *("bilinear2d_aa.default", "bilinear2d_aa.out", "bilinear2d_aa_backward"),
    *("bicubic2d_aa.default", "bicubic2d_aa.out", "bicubic2d_aa_backward", "lanczos2d_aa.default"),
)
_QUOTIENTS = (
    *("div.Tensor_mode", "div.Scalar_mode", "div_.Tensor_mode", "div_.Scalar_mode"),
    *("divide.Tensor_mode", "divide.Scalar_mode", "divide_.Tensor_mode", "divide_.Scalar_mode"),
)

# By target, or by its name alone, for all its overloads.
CHECKS: Mapping[str, Sequence[Check]] = {
    "prims.div.default": (fitting.quotient,),
    **dict.fromkeys(("prims.fft_c2c", "prims.fft_c2r", "prims.fft_r2c"), (fitting_layers.transform,)),
} | {
    f"aten.{name}": checks
    for name, checks in {
        **dict.fromkeys(_NORMS, (fitting_layers.norm,)),
        **{f"special_{name}": (fitting.degree,) for name in _POLYNOMIALS},
        **{
            f"{name}{n}d_backward": (fitting.gradient_of(f"{name}{n}d"),)
            for name in ("avg_pool", "reflection_pad", "replication_pad")
            for n in ((2, 3) if name == "avg_pool" else (1, 2, 3))
        },
        **{
            f"max_pool{n}d_with_indices_backward": (
                fitting.gradient_of(f"max_pool{n}d_with_indices"),
                fitting.same_sizes("indices", "grad_output"),
                fitting.within("indices", "self", n),
            )
            for n in (2, 3)
        },
        **{f"_adaptive_avg_pool{n}d_backward": (fitting.leading("grad_output", "self", n),) for n in (2, 3)},
        **{
            f"adaptive_max_pool{n}d_backward": (
                fitting.leading("grad_output", "self", n),
                fitting.same_sizes("indices", "grad_output"),
                fitting.within("indices", "self", n),
                fitting.dense("indices"),
            )
            for n in (2, 3)
        },
        **dict.fromkeys(("_fft_c2c", "_fft_c2r", "_fft_r2c"), (fitting_layers.transform,)),
        **dict.fromkeys(
            ("slow_conv3d", "slow_conv3d_forward", "slow_conv_transpose2d", "slow_conv_transpose3d"),
            (fitting_layers.kernel,),
        ),
        **dict.fromkeys(
            ("embedding_bag", "_embedding_bag", "_embedding_bag_forward_only"), (fitting_layers.bags,)
        ),
        **dict.fromkeys(("ctc_loss", "_ctc_loss"), (fitting.labels,)),
        **dict.fromkeys(("random", "random_"), (fitting.random,)),
        **dict.fromkeys(_QUOTIENTS, (fitting.quotient,)),
        **dict.fromkeys(("lcm", "lcm_"), (fitting.multiple,)),
        **dict.fromkeys(("matrix_power", "linalg_matrix_power"), (fitting.power,)),
        "native_layer_norm_backward": (
            fitting.alike("grad_out", "input"),
            fitting_layers.layer_norm_backward,
        ),
        **dict.fromkeys(("thnn_conv2d", "_slow_conv2d_forward"), (fitting_layers.padding,)),
        **dict.fromkeys(_SAMPLERS, (fitting_layers.modes,)),
        "max_pool1d": (fitting_layers.window,),
        "lu_unpack": (fitting.pivots("LU_data", "LU_pivots"),),
        "lu_solve": (fitting.pivots("LU_data", "LU_pivots"),),
        "linalg_lu_solve": (fitting.pivots("LU", "pivots"),),
        "_int_mm": (fitting.unexpanded("self"), fitting.unexpanded("mat2")),
        **dict.fromkeys(("linalg_eigvals", "_linalg_eigvals"), (fitting.finite("self"),)),
        "linalg_ldl_solve": (fitting.pivots("LD", "pivots", signed=True), fitting.same_batch("LD", "B")),
        **dict.fromkeys(("_reshape_alias", "as_strided_"), (fitting_layers.strided,)),
        **{f"_upsample_{name}": (fitting_layers.scales,) for name in _ANTIALIASED},
        "embedding_dense_backward": (fitting_layers.embedded,),
        "_grouped_mm": (fitting_layers.groups,),
        **dict.fromkeys(("median.dim", "nanmedian.dim"), (fitting_layers.spread,)),
        "_pdist_forward": (fitting_layers.matrix("self"),),
        "_saturate_weight_to_fp16": (fitting_layers.matrix("weight"),),
        "binary_cross_entropy": (fitting.stretching("target"),),
        **dict.fromkeys(("nll_loss_backward", "nll_loss2d_backward"), (fitting.classes,)),
        **dict.fromkeys(
            ("multi_margin_loss", "multilabel_margin_loss", "multilabel_margin_loss_forward"), (fitting.rows,)
        ),
        **dict.fromkeys(
            ("multi_margin_loss_backward", "multilabel_margin_loss_backward"), (fitting.margin_gradient,)
        ),
        **dict.fromkeys(
            ("_fused_moving_avg_obs_fq_helper", "fused_moving_avg_obs_fake_quant"),
            (fitting_layers.observed,),
        ),
        **dict.fromkeys(("repeat_interleave.Tensor", "repeat_interleave.self_Tensor"), (fitting.repeats,)),
        "col2im": (fitting_layers.fold,),
        **dict.fromkeys(("_scaled_mm", "_scaled_mm_v2"), (fitting_layers.summed,)),
        "binomial": (fitting.finite("count"),),
        **dict.fromkeys(
            ("tensor_split.sections", "tensor_split.tensor_indices_or_sections"), (fitting.pieces,)
        ),
        "smooth_l1_loss_backward": (fitting.fractional("self", "target", "grad_output"),),
        "_weight_int4pack_mm_for_cpu": (fitting_layers.packed_product,),
        **dict.fromkeys(
            ("scaled_dot_product_attention", "_scaled_dot_product_attention_math"),
            (fitting_layers.same_length,),
        ),
        "_scaled_dot_product_flash_attention_for_cpu": (fitting_layers.attention,),
        "_scaled_dot_product_flash_attention_for_cpu_backward": (
            fitting_layers.attention,
            fitting_layers.attention_backward,
        ),
        "_weight_norm": (fitting_layers.weight_norm,),
        "_weight_norm_interface": (fitting_layers.weight_norm_interface, fitting_layers.weight_norm),
        "_transformer_encoder_layer_fwd": (fitting_layers.heads, fitting_layers.encoder_layer),
        "_native_multi_head_attention": (fitting_layers.heads, fitting_layers.encoder_layer),
        "lstm": (fitting_layers.lstm,),
        "segment_reduce": (fitting.segments,),
    }.items()
}


def checked(target: str, operator: Any, call: Callable[..., Any]) -> Callable[..., Any]:
    """`call`, with the checks of an operator before it if it has some. `operator`: the overload.

    One that writes its results to `out` is given memory of its own, unless it goes element by element.
    """
    checks = CHECKS.get(target) or CHECKS.get(target.rpartition(".")[0], ())
    written = [a.name for a in operator._schema.arguments if a.kwarg_only and a.is_write]
    if written and torch.Tag.pointwise not in operator.tags:
        checks = (fitting.share_no_memory(written), *checks)
    if not checks:
        return call
    names = [argument.name for argument in operator._schema.arguments]
    defaults = {a.name: a.default_value for a in operator._schema.arguments if a.has_default_value()}

    def run(*args: Any, **kwargs: Any) -> Any:
        given = {**defaults, **dict(zip(names, args, strict=False)), **kwargs}
        for check in checks:
            check(given)
        return call(*args, **kwargs)

    return run
