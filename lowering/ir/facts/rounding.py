"""How often an operator rounds: not at all, once for an element, or at each term of a sum.

Operators are named without their overload, and without the underscore of those that write in place.
"""

from __future__ import annotations

import re

from lowering.ir.facts.namespaces import base_name, has_schema

# Words of operator names (`_scaled_mm`, `conv2d`: without the number) that accumulate many terms.
_SUMMING_WORDS = frozenset(
    """
    mm addmm bmm baddbmm addbmm hspmm sspaddmm addmv mv matmul linear bilinear trilinear dot vdot vecdot
    tensordot inner einsum conv convolution attention norm renorm softmax sum nansum cumsum prod cumprod
    logcumsumexp logsumexp mean nanmean var std cov corrcoef loss lstm gru rnn pool upsample sampler cdist
    pdist dist distance similarity linalg fft stft istft trace trapezoid trapz det logdet slogdet inverse
    pinverse cholesky lu qr svd geqrf ormqr orgqr solve rank
    """.split()
)

# The same, by their whole names.
SUMMING_NAMES = frozenset(
    """
    embedding_bag index_add index_put index_reduce scatter_add scatter_reduce segment_reduce chain_matmul
    matrix_exp matrix_power binary_cross_entropy binary_cross_entropy_with_logits kl_div col2im
    """.split()
)

# Operators that do not round, or round once and the same way on each engine. They move, compare or cast
# elements, or work on integers. Without the underscore of those that write in place.
EXACT_NAMES = frozenset(
    """
    view view_as _unsafe_view reshape reshape_as flatten unflatten ravel permute transpose t numpy_T mT
    movedim moveaxis swapaxes swapdims expand expand_as broadcast_to slice select squeeze unsqueeze narrow
    cat concat stack hstack vstack dstack chunk split split_with_sizes tensor_split unbind repeat
    repeat_interleave tile flip fliplr flipud rot90 roll diagonal diag diag_embed tril triu pad
    constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d
    replication_pad3d pixel_shuffle pixel_unshuffle channel_shuffle unfold im2col as_strided clone copy
    contiguous detach alias lift lift_fresh lift_fresh_copy to _to_copy type_as real imag view_as_real
    view_as_complex conj resolve_conj resolve_neg index _unsafe_index gather index_select take
    take_along_dim embedding one_hot where masked_fill masked_select masked_scatter scatter slice_scatter
    select_scatter diagonal_scatter index_copy index_fill fill zero fill_diagonal sort argsort topk argmax
    argmin max min amax amin aminmax maximum minimum cummax cummin median kthvalue max_pool1d max_pool2d
    max_pool3d max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices fractional_max_pool2d
    fractional_max_pool3d max_unpool2d max_unpool3d upsample_nearest1d upsample_nearest2d upsample_nearest3d
    _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d fft_fftshift fft_ifftshift
    adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d arange zeros ones full empty zeros_like
    ones_like full_like empty_like new_zeros new_ones new_full new_empty scalar_tensor eye tril_indices
    triu_indices meshgrid relu relu6 clamp clamp_min clamp_max hardtanh threshold neg abs sign sgn floor
    ceil trunc round nan_to_num eq ne lt le gt ge equal isnan isinf isfinite isin any all logical_and
    logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor bitwise_not bitwise_left_shift
    bitwise_right_shift nonzero count_nonzero bincount searchsorted bucketize item _local_scalar_dense
    _assert_tensor_metadata _assert_scalar _assert_async sym_size sym_stride sym_numel sym_storage_offset
    sym_constrain_range sym_constrain_range_for_size
    """.split()
)


def is_exact(target: str) -> bool:
    """Whether each engine gives the same bits: arithmetic of sizes is Python's, and a node with graphs only
    runs them."""
    return not has_schema(target) or base_name(target) in EXACT_NAMES


def sums_many(target: str) -> bool:
    """Whether an element of the result is a sum, or a product, of many terms: contractions and reductions."""
    name = base_name(target)
    words = {re.sub(r"\dd?$", "", word) for word in name.split("_")}
    return name in SUMMING_NAMES or bool(words & _SUMMING_WORDS)
