"""Floating-point operations of products of matrices, convolutions and attention; of other operators none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

from lowering.ir.facts.contractions import is_attention, is_convolution
from lowering.ir.program import Node, Ref
from lowering.ir.symbols import UnboundSymbol, evaluate
from lowering.ir.types import TensorType, ValueType

Sizes = Sequence[int]
# The operand whose last axis is summed over, by operator.
_PRODUCTS = {
    "addbmm": "batch1", "addmm": "mat1", "addmv": "mat", "baddbmm": "batch1", "bmm": "self", "dot": "self",
    "linear": "input", "matmul": "self", "mm": "self", "mv": "self",
}  # fmt: skip


def sizes_of(type_: ValueType | None, symbols: Mapping[str, int | float | bool]) -> Sizes | None:
    """A tensor's sizes; None for what is not a tensor, and for symbols that are not bound."""
    if not isinstance(type_, TensorType):
        return None
    try:
        return [int(evaluate(size, symbols)) for size in type_.sizes]
    except UnboundSymbol:
        return None


def flops(node: Node, values: Mapping[str, ValueType], symbols: Mapping[str, int | float | bool]) -> int:
    """Two for each product that is summed up."""

    def sizes(name: str) -> Sizes:
        found = next((a.value for a in node.args if a.name == name and isinstance(a.value, Ref)), None)
        return sizes_of(values.get(found.name), symbols) or () if found is not None else ()

    made = sizes_of(values.get(next(node.results(), "")), symbols) or ()
    if is_attention(node.target):
        return _attention(sizes)
    if is_convolution(node.target):
        transposed = any(a.name == "transposed" and a.value is True for a in node.args)
        kernel = prod(sizes("weight")[1:]) if sizes("weight") else 0
        return 2 * kernel * prod(sizes("input") if transposed else made)
    operand = _PRODUCTS.get(node.target.removeprefix("aten.").partition(".")[0], "")
    summed = sizes(operand)
    return 2 * prod(made) * summed[-1] if summed else 0


def _attention(sizes: Callable[[str], Sizes]) -> int:
    query, key, value = sizes("query"), sizes("key"), sizes("value")
    if not (query and key and value):
        return 0
    return 2 * prod(query[:-1]) * key[-2] * (query[-1] + value[-1])
