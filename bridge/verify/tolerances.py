"""The one tolerance table: dtype by kind of program. Integers and bools compare exactly.

A value passes if `|actual - expected| <= rtol * |expected| + scale * max|expected|`. The second term is what
a sum of terms of both signs loses: its error is in proportion to the terms, not to what is left of them.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from lowering.ir.program import Graph, Program
from lowering.ir.types import DType


class Kind(Enum):
    """The most error-prone kind of operation that a program has."""

    EXACT = "exact"  # data movement, comparisons, integer arithmetic
    POINTWISE = "pointwise"  # elementary functions, one rounding each
    CONTRACTION = "contraction"  # sums of products: matmuls, convolutions, norms, softmax


class Tolerance(NamedTuple):
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

# Parts of operator names that accumulate many terms.
_CONTRACTING = (
    "mm", "matmul", "linear", "conv", "dot", "einsum", "addmv", "bilinear", "attention", "norm", "softmax",
    "sum", "mean", "var", "std", "prod", "loss", "lstm", "gru", "rnn", "pool", "interpolate", "upsample",
    "linalg", "fft", "cdist", "grid_sampler", "embedding_bag",
)  # fmt: skip

# Operators that round nothing: they move elements, compare them, or work on integers.
_EXACT = frozenset(
    """
    view reshape flatten unflatten permute transpose t movedim expand slice select squeeze unsqueeze narrow
    cat stack chunk split unbind repeat flip roll diagonal tril triu pad constant_pad_nd clone copy contiguous
    detach alias lift_fresh_copy index gather index_select embedding where masked_fill scatter index_copy fill
    sort topk argmax argmin max_pool2d arange zeros ones full relu neg abs eq ne lt le gt ge logical_and
    logical_or logical_not bitwise_and bitwise_or bitwise_not nonzero sym_size _assert_tensor_metadata
    """.split()
)


def kind_of(program: Program) -> Kind:
    """The kind of a whole program: that of its most error-prone node, nested graphs included."""
    kinds = {_kind_of_target(target) for target in _targets(program.graph)}
    return next((kind for kind in (Kind.CONTRACTION, Kind.POINTWISE) if kind in kinds), Kind.EXACT)


def tolerance(dtype: DType, kind: Kind) -> Tolerance:
    """The tolerance of values of this dtype; float8 passes on equality only."""
    dtype = _SAME_AS.get(dtype, dtype)
    return TOLERANCES.get((dtype, kind), EXACT)


def _kind_of_target(target: str) -> Kind:
    name = target.split(".")[1] if target.count(".") >= 2 else target
    if any(part in name for part in _CONTRACTING) and "max_pool" not in name:
        return Kind.CONTRACTION
    return Kind.EXACT if name.rstrip("_") in _EXACT else Kind.POINTWISE


def _targets(graph: Graph) -> set[str]:
    found: set[str] = set()
    for node in graph.nodes:
        found.add(node.target)
        for argument in node.args:
            if isinstance(argument.value, Graph):
                found |= _targets(argument.value)
    return found
