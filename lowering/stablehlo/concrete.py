"""Types of values at the sizes that are being emitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from lowering.ir.symbols import Scalar, SymbolError, Term, UnboundSymbol, evaluate
from lowering.ir.types import Layout, ObjectType, SymType, TensorType, TokenType, ValueType
from lowering.stablehlo.context import ConcreteType
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.symbolic import SymbolicSizes, any_symbolic

Sizes = Mapping[str, int]

_KINDS = {SymType: "a Python number", ObjectType: "a script object", TokenType: "a token"}


def concrete(type_: ValueType, sizes: Sizes) -> ConcreteType:
    """A tensor's dtype and sizes for these symbols; Unsupported where they are not known before the call."""
    if not isinstance(type_, TensorType):
        raise Unsupported(f"{_KINDS[type(type_)]} is not a tensor")
    if type_.layout is not Layout.STRIDED:
        raise Unsupported(f"StableHLO has no {type_.layout.value} tensors")
    if type_.device.type == "meta":
        raise Unsupported("a tensor on the device meta has no data")
    shape = tuple(scalar_of(size, sizes, "its size ") for size in type_.sizes)
    if any_symbolic(shape):
        return ConcreteType(type_.dtype, tuple(cast(Sequence[int], shape)))
    for size, term in zip(shape, type_.sizes, strict=True):
        if not isinstance(size, int) or not 0 <= size < 1 << 63:
            raise Unsupported(f"its size {term} would be {size}")
    return ConcreteType(type_.dtype, tuple(int(size) for size in shape))


def scalar_of(term: Term, sizes: Sizes, what: str = "") -> Scalar:
    """The value of a symbolic scalar; Unsupported where it is not known before the call, or has none."""
    if isinstance(term, int | float | bool):
        return term
    try:
        symbolic = sizes.scalar(term) if isinstance(sizes, SymbolicSizes) else None
        return evaluate(term, sizes) if symbolic is None else symbolic
    except UnboundSymbol as error:
        raise Unsupported(f"{what}{error.name} is known only once the data is") from None
    except SymbolError as error:
        raise Unsupported(f"{what}has no value at these sizes: {error}") from None


def port_type(type_: ValueType, sizes: Sizes) -> ConcreteType:
    """The type of a segment's argument: a number from data is a 0-d tensor."""
    if isinstance(type_, SymType):
        return ConcreteType(type_.kind.element, ())
    return concrete(type_, sizes)
