"""Eager's cast policies under `torch.autocast`, by operator.

torch registers them per kind of device (`aten/src/ATen/autocast_mode.cpp`). A test compares the names below
with the installed torch, and dispatches each. Operators are written without `aten.`, and without their
overload where it is `default`.
"""

from __future__ import annotations

from enum import Enum

from lowering.ir.aten import schema
from lowering.ir.facts.namespaces import is_python
from lowering.ir.program import Node
from lowering.ir.types import DType


class Policy(Enum):
    """Of the eligible arguments: floating-point tensors on the device, but float64."""

    #: Cast to the type of the region.
    LOWER = "lower"
    #: Cast to float32.
    FLOAT32 = "float32"
    #: Cast to float32 if one of them is that, else to the type of the region.
    PROMOTE = "promote"
    #: Left as they are; the argument `dtype` becomes float32 where none is given.
    DTYPE = "dtype"
    #: `DTYPE`, of an overload without that argument, which another one replaces.
    OVERLOAD = "overload"
    #: Casts inside an operator that is made of others: `LOWER`, if its result has the type of the region.
    LOWER_IF_LOW = "lower if low"
    #: The same: `FLOAT32`, if its result is float32.
    FLOAT32_IF_WIDE = "float32 if wide"
    #: Casts inside which the arguments do not show.
    INSIDE = "inside"
    #: None.
    NOTHING = "nothing"


# The dtype of a region that names none.
LOWER_TYPES = {"cpu": DType.BFLOAT16, "cuda": DType.FLOAT16}

_CPU_LOWER = """
    _addmm_activation _convolution.deprecated _native_multi_head_attention addbmm addmm baddbmm bmm conv1d
    conv1d.padding conv2d conv2d.padding conv3d conv3d.padding conv_tbc conv_transpose1d
    conv_transpose2d.input conv_transpose3d.input linalg_vecdot linear matmul mkldnn_rnn_layer mm prelu
    scaled_dot_product_attention
"""
_CPU_FLOAT32 = """
    _grid_sampler_2d_cpu_fallback _lu_with_info adaptive_avg_pool3d adaptive_max_pool3d avg_pool3d
    binary_cross_entropy binary_cross_entropy_with_logits cdist cholesky cholesky_inverse cholesky_solve
    cosine_embedding_loss cross_entropy_loss ctc_loss.IntList ctc_loss.Tensor
    fake_quantize_per_tensor_affine fft_fft fft_fft2 fft_fftn fft_hfft fft_ifft fft_ifft2 fft_ifftn fft_ihfft
    fft_irfft fft_irfft2 fft_irfftn fft_rfft fft_rfft2 fft_rfftn fractional_max_pool2d fractional_max_pool3d
    geqrf grid_sampler grid_sampler_2d grid_sampler_3d hinge_embedding_loss huber_loss inverse kl_div l1_loss
    linalg_cholesky linalg_cholesky_ex linalg_cond linalg_cond.p_str linalg_eig linalg_eigh linalg_eigvals
    linalg_eigvalsh linalg_householder_product linalg_inv linalg_inv_ex linalg_lstsq linalg_matrix_rank
    linalg_matrix_rank.atol_rtol_float linalg_matrix_rank.atol_rtol_tensor linalg_matrix_rank.tol_tensor
    linalg_qr linalg_solve linalg_svd linalg_svdvals linalg_tensorinv linalg_tensorsolve lu_solve
    margin_ranking_loss max_pool3d max_unpool2d max_unpool3d mse_loss multi_margin_loss
    multilabel_margin_loss multilabel_margin_loss_forward nanquantile nanquantile.scalar nll_loss nll_loss2d
    orgqr ormqr pinverse poisson_nll_loss polar prod prod.dim_int qr quantile quantile.scalar
    reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d replication_pad3d smooth_l1_loss
    soft_margin_loss stft stft.center svd trace triangular_solve triplet_margin_loss view_as_complex
"""
_CPU_PROMOTE = "cat index_copy stack"

_CUDA_LOWER = """
    _convolution _convolution.deprecated _scaled_dot_product_flash_attention _thnn_fused_gru_cell
    _thnn_fused_lstm_cell addbmm addmm addmv addr baddbmm bmm chain_matmul conv1d conv2d conv3d conv_tbc
    conv_transpose1d conv_transpose2d.input conv_transpose3d.input convolution cudnn_convolution
    cudnn_convolution_transpose einsum gru_cell linalg_multi_dot linalg_vecdot linear lstm_cell matmul mm mv
    prelu rnn_relu_cell rnn_tanh_cell scaled_dot_product_attention
"""
_CUDA_FLOAT32 = """
    _upsample_bicubic2d_aa _upsample_bilinear2d_aa _upsample_nearest_exact1d _upsample_nearest_exact2d
    _upsample_nearest_exact3d acos asin binary_cross_entropy_with_logits cdist cosh cosine_embedding_loss
    cosine_similarity dist erfinv exp expm1 frobenius_norm.dim group_norm hinge_embedding_loss huber_loss
    kl_div l1_loss layer_norm log log10 log1p log2 logsumexp margin_ranking_loss mse_loss multi_margin_loss
    multilabel_margin_loss native_layer_norm nll_loss nll_loss2d nuclear_norm nuclear_norm.dim pdist
    poisson_nll_loss pow.Scalar pow.Tensor_Scalar pow.Tensor_Tensor reciprocal renorm rms_norm rsqrt sinh
    smooth_l1_loss soft_margin_loss softplus tan triplet_margin_loss upsample_bicubic2d upsample_bilinear2d
    upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_trilinear3d
"""
_CUDA_PROMOTE = """
    addcdiv addcmul atan2 bilinear cross dot grid_sampler index_put scatter_add tensordot vdot
"""
_CUDA_DTYPE = """
    cumprod cumsum linalg_matrix_norm linalg_matrix_norm.str_ord linalg_vector_norm log_softmax.int prod
    prod.dim_int softmax.int sum sum.dim_IntList
"""
_CUDA_OVERLOAD = "norm.Scalar norm.ScalarOpt_dim"


def _rows(names: str, policy: Policy) -> dict[str, Policy]:
    return dict.fromkeys(names.split(), policy)


#: Per kind of device, the operators that torch registers.
REGISTERED: dict[str, dict[str, Policy]] = {
    "cpu": {
        **_rows(_CPU_LOWER, Policy.LOWER),
        **_rows(_CPU_FLOAT32, Policy.FLOAT32),
        **_rows(_CPU_PROMOTE, Policy.PROMOTE),
    },
    "cuda": {
        **_rows(_CUDA_LOWER, Policy.LOWER),
        **_rows(_CUDA_FLOAT32, Policy.FLOAT32),
        **_rows(_CUDA_PROMOTE, Policy.PROMOTE),
        **_rows(_CUDA_DTYPE, Policy.DTYPE),
        **_rows(_CUDA_OVERLOAD, Policy.OVERLOAD),
    },
}

# Operators that are made of others, and of which ones with a policy are: where they cast, and when.
_CPU_MADE = {
    **_rows("einsum inner linalg_matmul tensordot", Policy.LOWER_IF_LOW),
    **_rows("_pad_enum pad", Policy.FLOAT32_IF_WIDE),
    "nll_loss_nd": Policy.FLOAT32,
    "view_as_complex_copy": Policy.FLOAT32,
    # Their kernels multiply or factorise matrices, by operators that cast.
    **_rows("_trilinear affine_grid_generator bilinear linalg_pinv.atol_rtol_tensor", Policy.INSIDE),
    # Products of float8 are emulated by `addmm`, which casts, on some processors.
    **_rows("_scaled_mm _scaled_mm_v2", Policy.INSIDE),
}
_CUDA_MADE = {
    **_rows("conv1d.padding conv2d.padding conv3d.padding inner linalg_matmul", Policy.LOWER_IF_LOW),
    **_rows(
        """
        _upsample_bicubic2d_aa.vec _upsample_bilinear2d_aa.vec _upsample_nearest_exact1d.vec
        _upsample_nearest_exact2d.vec _upsample_nearest_exact3d.vec arccos arcsin cross_entropy_loss
        nll_loss_nd special_erfinv special_expm1 special_log1p special_logsumexp square
        upsample_bicubic2d.vec upsample_bilinear2d.vec upsample_linear1d.vec upsample_nearest1d.vec
        upsample_nearest2d.vec upsample_nearest3d.vec upsample_trilinear3d.vec
        """,
        Policy.FLOAT32,
    ),
    **_rows("special_log_softmax special_softmax", Policy.DTYPE),
    **_rows("arctan2", Policy.PROMOTE),
    **_rows(
        """
        _fused_rms_norm _trilinear _weight_norm affine_grid_generator cumulative_trapezoid.dx
        cumulative_trapezoid.x linalg_pinv.atol_rtol_tensor norm_except_dim sum_to_size trapezoid.dx
        trapezoid.x trapz.dx trapz.x
        """,
        Policy.INSIDE,
    ),
}

# Operators that are made of others, none of which casts; measured. (Their joins promote by themselves.)
_PLAIN = frozenset(
    """
    __and__.Scalar __and__.Tensor __or__.Scalar __or__.Tensor __xor__.Scalar __xor__.Tensor _cast_Byte
    _cast_Char _cast_Double _cast_Float _cast_Half _cast_Int _cast_Long _cast_Short _fused_rms_norm
    _pad_circular _shape_as_tensor _upsample_bicubic2d_aa.vec _upsample_bilinear2d_aa.vec
    _upsample_lanczos2d_aa.vec _upsample_nearest_exact1d.vec _upsample_nearest_exact2d.vec
    _upsample_nearest_exact3d.vec _weight_norm absolute adaptive_avg_pool1d adaptive_avg_pool2d
    adaptive_max_pool1d adjoint alpha_dropout arccos arccosh arcsin arcsinh arctan arctan2 arctanh argsort
    argsort.stable atleast_1d atleast_1d.Sequence atleast_2d atleast_2d.Sequence atleast_3d
    atleast_3d.Sequence avg_pool1d batch_norm broadcast_tensors broadcast_to cartesian_prod chunk
    clip clip.Tensor column_stack combinations concat concatenate conj conj_physical contiguous cross
    cumulative_trapezoid.dx cumulative_trapezoid.x diag diff divide.Scalar divide.Scalar_mode
    divide.Tensor divide.Tensor_mode dropout dsplit.array dsplit.int dstack embedding_bag
    embedding_bag.padding_idx expand_as fake_quantize_per_channel_affine
    fake_quantize_per_tensor_affine.tensor_qparams feature_alpha_dropout feature_dropout fix
    flatten.using_ints fliplr flipud float_power.Scalar float_power.Tensor_Scalar
    float_power.Tensor_Tensor frobenius_norm.dim ger greater.Scalar greater.Tensor greater_equal.Scalar
    greater_equal.Tensor group_norm hsplit.array hsplit.int hstack imag instance_norm isclose isfinite
    isreal istft kron layer_norm less.Scalar less.Tensor less_equal.Scalar less_equal.Tensor linalg_det
    linalg_diagonal linalg_lu_factor linalg_slogdet log_sigmoid log_softmax.int mH mT matrix_H max.other
    max_pool1d max_pool1d_with_indices max_pool2d meshgrid meshgrid.indexing min.other moveaxis.int
    moveaxis.intlist movedim.int movedim.intlist msort multiply.Scalar multiply.Tensor nanmean narrow
    narrow.Tensor native_channel_shuffle negative norm_except_dim not_equal.Scalar not_equal.Tensor
    numpy_T one_hot outer positive ravel real relu6 repeat_interleave.self_Tensor
    repeat_interleave.self_int reshape reshape_as resolve_conj resolve_neg rms_norm row_stack rrelu selu
    slow_conv3d softmax.int special_digamma special_erf special_erfc special_erfinv special_exp2
    special_expit special_expm1 special_gammainc special_gammaincc special_gammaln special_i0
    special_log1p special_log_softmax special_logit special_logsumexp special_multigammaln special_ndtr
    special_polygamma special_psi special_round special_sinc special_softmax special_xlogy
    special_xlogy.other_scalar special_xlogy.self_scalar split.sizes square std std.dim std_mean
    std_mean.dim subtract.Scalar subtract.Tensor sum_to_size swapaxes swapdims take_along_dim
    tensor_split.indices tensor_split.sections thnn_conv2d tile to.device to.dtype to.dtype_layout
    to.other trapezoid.dx trapezoid.x trapz.dx trapz.x true_divide.Scalar true_divide.Tensor type_as
    unflatten.int unsafe_chunk upsample_bicubic2d.vec upsample_bilinear2d.vec upsample_linear1d.vec
    upsample_nearest1d.vec upsample_nearest2d.vec upsample_nearest3d.vec upsample_trilinear3d.vec var
    var.dim var_mean var_mean.dim view_as vsplit.array vsplit.int vstack where.Scalar where.ScalarOther
    where.ScalarSelf
    """.split()
)

_MADE = {"cpu": _CPU_MADE, "cuda": _CUDA_MADE}


def policy_of(node: Node, device: str) -> Policy:
    """The policy of autocast for a kind of device on a node that has a tensor there."""
    namespace, _, rest = node.target.partition(".")
    if namespace == "prims":
        return _of_prim(rest.partition(".")[0], device)
    if namespace != "aten":
        return Policy.NOTHING if is_python(node.target) else Policy.INSIDE
    name = node.target.removeprefix("aten.").removesuffix(".default")
    registered = REGISTERED[device].get(name) or _MADE[device].get(name)
    if registered is not None:
        return registered
    known = schema(node.target)
    if known is None:
        return Policy.INSIDE
    base, _, overload = name.partition(".")
    plain = {name, f"{base.rstrip('_')}.{overload}".rstrip(".")} & _PLAIN
    return Policy.INSIDE if known.composite_implicit and not plain else Policy.NOTHING


def _of_prim(name: str, device: str) -> Policy:
    """A prim runs ATen's operator of its name, by other arguments where there are any beside the tensors."""
    policy = REGISTERED[device].get(name, Policy.NOTHING)
    return Policy.INSIDE if policy in (Policy.DTYPE, Policy.OVERLOAD) else policy
