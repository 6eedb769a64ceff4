"""The one tolerance table: dtype by kind of program. Integers and bools compare exactly.

A value passes if `|actual - expected| <= rtol * |expected| + scale * max|expected|`. The second term is what
a sum of terms of both signs loses: its error is in proportion to the terms, not to what is left of them.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

from lowering.ir.program import Graph, Node, OutputKind, Program, Ref
from lowering.ir.types import DType, TensorType


class Kind(Enum):
    """The most error-prone kind of operation that a program has."""

    EXACT = "exact"  # data movement, comparisons, integer arithmetic
    POINTWISE = "pointwise"  # elementary functions, one rounding each
    CONTRACTION = "contraction"  # sums of products: matmuls, convolutions, norms, softmax


class Tolerance(NamedTuple):
    """`rtol` is relative to the element, `scale` to the largest finite element of the tensor."""

    rtol: float
    scale: float


# float32 has 24 bits (6e-8), bfloat16 8 (4e-3), float16 11 (5e-4). Contractions of deep networks: two
# engines that sum in different orders differ by some tens of roundings of the largest term.
TOLERANCES: dict[tuple[DType, Kind], Tolerance] = {
    (DType.FLOAT64, Kind.POINTWISE): Tolerance(1e-12, 1e-14),
    (DType.FLOAT64, Kind.CONTRACTION): Tolerance(1e-9, 1e-11),
    (DType.FLOAT32, Kind.POINTWISE): Tolerance(2e-6, 2e-7),
    (DType.FLOAT32, Kind.CONTRACTION): Tolerance(1e-4, 2e-5),
    (DType.FLOAT16, Kind.POINTWISE): Tolerance(2e-3, 1e-3),
    (DType.FLOAT16, Kind.CONTRACTION): Tolerance(1e-2, 5e-3),
    (DType.BFLOAT16, Kind.POINTWISE): Tolerance(1.6e-2, 4e-3),
    (DType.BFLOAT16, Kind.CONTRACTION): Tolerance(4e-2, 2e-2),
}

_SAME_AS = {DType.COMPLEX64: DType.FLOAT32, DType.COMPLEX128: DType.FLOAT64, DType.COMPLEX32: DType.FLOAT16}

EXACT = Tolerance(0.0, 0.0)

# Of a number, how many bits are kept.
_BITS = {DType.BFLOAT16: 8, DType.FLOAT16: 11, DType.FLOAT32: 24, DType.FLOAT64: 53}

# Words of operator names (`_scaled_mm`, `conv2d`: without the number) that accumulate many terms.
CONTRACTING_WORDS = frozenset(
    """
    mm addmm bmm baddbmm addbmm hspmm sspaddmm addmv mv matmul linear bilinear trilinear dot vdot vecdot
    tensordot inner einsum conv convolution attention norm renorm softmax sum nansum cumsum prod cumprod
    logcumsumexp logsumexp mean nanmean var std cov corrcoef loss lstm gru rnn pool upsample sampler cdist
    pdist dist distance similarity linalg fft stft istft trace trapezoid trapz det logdet slogdet inverse
    pinverse cholesky lu qr svd geqrf ormqr orgqr solve rank
    """.split()
)

# The same, by their whole names.
CONTRACTING_NAMES = frozenset(
    """
    embedding_bag index_add index_put index_reduce scatter_add scatter_reduce segment_reduce chain_matmul
    matrix_exp matrix_power binary_cross_entropy binary_cross_entropy_with_logits kl_div col2im
    """.split()
)

# Operators that round nothing, or once and the same way everywhere: they move elements, compare them, cast
# them, or work on integers. Without the underscore of those that write in place.
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

# What is not ATen's: arithmetic of sizes, which is Python's, and operators that hold others.
_EXACT_NAMESPACES = frozenset({"_operator", "math", "torch", "higher_order", "builtins"})


def kind_of(program: Program) -> Kind:
    """The kind of a whole program: that of its most error-prone node, nested graphs included."""
    kinds = {kind_of_target(target) for target in _targets(program.graph)}
    return next((kind for kind in (Kind.CONTRACTION, Kind.POINTWISE) if kind in kinds), Kind.EXACT)


def coarsest_of(program: Program) -> dict[str, DType]:
    """Per `output i` that rests on results rounded to a coarser dtype than its own, that dtype.

    A float32 made of what was rounded to bfloat16 has those roundings.
    """
    rests: dict[str, DType] = {}
    for node in program.graph.nodes:
        sources = [rests[name] for name in node.refs() if name in rests]
        for result in node.results():
            own = _rounded_to(node, program.graph, result)
            coarsest = min((*sources, *own), key=_BITS.__getitem__, default=None)
            if coarsest is not None:
                rests[result] = coarsest
    returned = (spec.value for spec in program.signature.outputs if spec.kind is OutputKind.USER)
    found: dict[str, DType] = {}
    for at, value in enumerate(returned):
        own = _floating(program.graph, value.name) if isinstance(value, Ref) else None
        coarsest = rests.get(value.name) if isinstance(value, Ref) else None
        if own is not None and coarsest is not None and _BITS[coarsest] < _BITS[own]:
            found[f"output {at}"] = coarsest
    return found


def _rounded_to(node: Node, graph: Graph, result: str) -> list[DType]:
    """The dtypes that a node rounds to on the way to a result: its own, and those in graphs that it runs."""
    graphs = [argument.value for argument in node.args if isinstance(argument.value, Graph)]
    inside = [
        dtype
        for nested in graphs
        for item in nested.nodes
        for name in item.results()
        for dtype in _rounded_to(item, nested, name)
    ]
    dtype = _floating(graph, result)
    given = [_floating(graph, name) for name in node.refs()]
    narrows = any(item is not None and dtype is not None and _BITS[item] > _BITS[dtype] for item in given)
    rounds = narrows or kind_of_target(node.target) is not Kind.EXACT
    return [*inside, dtype] if dtype is not None and rounds else inside


def _floating(graph: Graph, name: str) -> DType | None:
    type_ = graph.values.get(name)
    return type_.dtype if isinstance(type_, TensorType) and type_.dtype in _BITS else None


def tolerance(dtype: DType, kind: Kind) -> Tolerance:
    """The tolerance of values of this dtype; float8 passes on equality only."""
    dtype = _SAME_AS.get(dtype, dtype)
    return TOLERANCES.get((dtype, kind), EXACT)


def kind_of_target(target: str) -> Kind:
    """The kind of one operator, `aten.addmm.default`. One that no table names rounds once."""
    namespace, _, rest = target.partition(".")
    if namespace in _EXACT_NAMESPACES:
        return Kind.EXACT
    name = rest.split(".")[0].removesuffix("_")
    if name in EXACT_NAMES:
        return Kind.EXACT
    words = {re.sub(r"\dd?$", "", word) for word in name.split("_")}
    return Kind.CONTRACTION if name in CONTRACTING_NAMES or words & CONTRACTING_WORDS else Kind.POINTWISE


def _targets(graph: Graph) -> set[str]:
    found: set[str] = set()
    for node in graph.nodes:
        found.add(node.target)
        for argument in node.args:
            if isinstance(argument.value, Graph):
                found |= _targets(argument.value)
    return found
