"""The one tolerance table: dtype by rounding of the program. Integers and bools compare exactly.

A value passes if `|actual - expected| <= rtol * |expected| + scale * max|expected|`. The second term is for
sums of both signs: the error is proportional to the terms, not the sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from lowering.ir.facts.rounding import is_exact, sums_many
from lowering.ir.program import Graph, Node, OutputKind, Program, Ref, all_nodes, graphs_of
from lowering.ir.types import DType, TensorType


class Rounding(Enum):
    """The most error-prone kind of operation that a program has."""

    EXACT = "exact"  # data movement, comparisons, integer arithmetic
    POINTWISE = "pointwise"  # elementary functions, one rounding each
    CONTRACTION = "contraction"  # sums of products: matmuls, convolutions, norms, softmax


class Tolerance(NamedTuple):
    """`rtol` is relative to the element, `scale` to the largest finite element of the tensor."""

    rtol: float
    scale: float


class Given(NamedTuple):
    """A caller's own tolerance in place of the table's: `|actual - expected| <= rtol * |expected| + atol`."""

    rtol: float
    atol: float


# float32 has 24 bits (6e-8), bfloat16 8 (4e-3), float16 11 (5e-4). Contractions of deep networks: sums in
# another order differ by some tens of roundings of the largest term.
TOLERANCES: dict[tuple[DType, Rounding], Tolerance] = {
    (DType.FLOAT64, Rounding.POINTWISE): Tolerance(1e-12, 1e-14),
    (DType.FLOAT64, Rounding.CONTRACTION): Tolerance(1e-9, 1e-11),
    (DType.FLOAT32, Rounding.POINTWISE): Tolerance(2e-6, 2e-7),
    (DType.FLOAT32, Rounding.CONTRACTION): Tolerance(1e-4, 2e-5),
    (DType.FLOAT16, Rounding.POINTWISE): Tolerance(2e-3, 1e-3),
    (DType.FLOAT16, Rounding.CONTRACTION): Tolerance(1e-2, 5e-3),
    (DType.BFLOAT16, Rounding.POINTWISE): Tolerance(1.6e-2, 4e-3),
    (DType.BFLOAT16, Rounding.CONTRACTION): Tolerance(4e-2, 2e-2),
}

_SAME_AS = {DType.COMPLEX64: DType.FLOAT32, DType.COMPLEX128: DType.FLOAT64, DType.COMPLEX32: DType.FLOAT16}

EXACT = Tolerance(0.0, 0.0)

# Of a number, how many bits are kept.
_BITS = {DType.BFLOAT16: 8, DType.FLOAT16: 11, DType.FLOAT32: 24, DType.FLOAT64: 53}


class Allowed(NamedTuple):
    """How far a program's values may differ from eager's: by the table, or as the caller says."""

    rounding: Rounding
    coarsest: Mapping[str, DType]
    given: Given | None = None


def allowed_of(program: Program, given: Given | None = None) -> Allowed:
    return Allowed(rounding_of(program), coarsest_of(program), given)


def rounding_of(program: Program) -> Rounding:
    """The rounding of a program's most error-prone node, nested graphs included."""
    kinds = {rounding_of_operator(node.target) for node in all_nodes(program.graph.nodes)}
    return next(
        (kind for kind in (Rounding.CONTRACTION, Rounding.POINTWISE) if kind in kinds), Rounding.EXACT
    )


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
    """The dtypes that a node rounds to on the way to a result, those of its nested graphs included."""
    inside = [
        dtype
        for nested in graphs_of(node)
        for item in nested.nodes
        for name in item.results()
        for dtype in _rounded_to(item, nested, name)
    ]
    dtype = _floating(graph, result)
    given = [_floating(graph, name) for name in node.refs()]
    narrows = any(item is not None and dtype is not None and _BITS[item] > _BITS[dtype] for item in given)
    rounds = narrows or rounding_of_operator(node.target) is not Rounding.EXACT
    return [*inside, dtype] if dtype is not None and rounds else inside


def _floating(graph: Graph, name: str) -> DType | None:
    type_ = graph.values.get(name)
    return type_.dtype if isinstance(type_, TensorType) and type_.dtype in _BITS else None


def tolerance(dtype: DType, rounding: Rounding) -> Tolerance:
    """The tolerance of values of this dtype; float8 passes on equality only."""
    dtype = _SAME_AS.get(dtype, dtype)
    return TOLERANCES.get((dtype, rounding), EXACT)


def rounding_of_operator(target: str) -> Rounding:
    """The rounding of an operator, `aten.addmm.default`. An operator outside all tables rounds once."""
    if is_exact(target):
        return Rounding.EXACT
    return Rounding.CONTRACTION if sums_many(target) else Rounding.POINTWISE
