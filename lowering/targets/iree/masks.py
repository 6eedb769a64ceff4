"""Masks that are read beside the product of two matrices.

Where a module has weights, IREE packs matrices, and what meets a product is packed with it. A boolean in
memory is a byte there, and IREE 3.13 refuses to pack bytes as bits, or to load them so: `load_from_buffer op
buffer and tensor shapes must be compatible`. Behind a barrier a mask has bytes for elements, and the dispatch
of the product makes booleans of them.
"""

# IREE's bindings come without stubs of their native part.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Iterator

from iree.compiler import ir

from lowering.targets.iree.converted import (
    Converted,
    empty_like,
    generic,
    held,
    is_parallel,
    make,
    operations,
)
from lowering.targets.iree.writes import VIEWS

# Products of a batch are not packed.
_PRODUCTS = frozenset(("linalg.matmul", "linalg.matvec", "linalg.vecmat"))
# Their results are made anew for each reader.
_FRESH = frozenset(("arith.constant", "tensor.empty", "tensor.splat", "linalg.fill"))


def read_masks_as_bytes(converted: Converted) -> None:
    """Read masks of memory as bytes where they meet a product that is packed."""
    if all(port.weight is None for port in converted.source.inputs):
        return
    places = {op: place for place, op in enumerate(operations(converted.mlir.operation))}
    found = sorted(_masks(converted), key=lambda item: places[item[0]])
    made: dict[tuple[ir.Value, ir.Block], ir.Value] = {}
    for op, place in found:
        mask, block = op.operands[place], op.block
        with ir.InsertionPoint(op), op.location:
            if (mask, block) not in made:
                made[mask, block] = _through_bytes(mask)
            op.operands[place] = made[mask, block]


def _through_bytes(mask: ir.Value) -> ir.Value:
    byte, bit = ir.IntegerType.get_signless(8), ir.IntegerType.get_signless(1)
    return _cast(held(_cast(mask, "arith.extui", byte)), "arith.trunci", bit)


def _cast(tensor: ir.Value, name: str, element: ir.Type) -> ir.Value:
    axes = range(tensor.type.rank)
    output = empty_like(tensor, element)
    return generic([tensor], output, [axes, axes], lambda number, _: make(name, [number], element))


def _masks(converted: Converted) -> Iterator[tuple[ir.Operation, int]]:
    """The operands that are masks of memory, of all operations that IREE may compute with a product."""
    left = _after_products(converted)
    seen: set[ir.Operation] = set()
    while left:
        op = left.pop()
        if op in seen:
            continue
        seen.add(op)
        for place, value in enumerate(op.operands):
            maker = _maker(value)
            if maker is not None and maker.name == "linalg.generic" and is_parallel(maker):
                left.append(maker)
            elif _is_mask(value) and (maker is None or maker.name not in _FRESH):
                yield op, place


def _after_products(converted: Converted) -> list[ir.Operation]:
    """The operations by element on what products make."""
    reached: set[ir.Value] = set()
    found: list[ir.Operation] = []
    for op in operations(converted.mlir.operation):
        if op.name in _PRODUCTS:
            reached |= {*op.results}
            continue
        by_element = op.name == "linalg.generic" and is_parallel(op)
        if (by_element or op.name in VIEWS) and not reached.isdisjoint(op.operands):
            reached |= {*op.results}
            found += [op] if by_element else []
    return found


def _maker(value: ir.Value) -> ir.Operation | None:
    """The operation whose memory a value has; None for an argument of a block."""
    while not isinstance(value.owner, ir.Block):
        maker = value.owner.operation
        if maker.name not in VIEWS:
            return maker
        value = maker.operands[0]
    return None


def _is_mask(value: ir.Value) -> bool:
    type_ = value.type
    return isinstance(type_, ir.RankedTensorType) and type_.element_type == ir.IntegerType.get_signless(1)
