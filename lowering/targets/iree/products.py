"""Products of matrices whose sizes a call says, as IREE's packing of matrices takes them.

Where a module has weights, IREE packs matrices. IREE 3.13 computes what makes a matrix in the dispatch that
packs it. At such sizes it then refuses the module: `all stack allocations need to be hoisted`, or `no basis
element may be statically non-positive`. A matrix that is tied to its sizes is computed before.

Where a number for each row meets a result, as the sums of a softmax do, IREE packs these numbers too. All
results were NaN then, unless the rows filled tiles of 16. A result that is tied to its sizes is unpacked
before.

Scores times values in attention sum over as many terms as there are rows. Where IREE knows that, it sums up
the terms of one tile of 64 only: results are wrong from 65 on. Behind a barrier, the count is a size of its
own.
"""

# IREE's bindings come without stubs of their native part.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from iree.compiler import ir

from lowering.targets.iree.converted import Converted, make


class _Product(NamedTuple):
    """The loop of each axis: of both operands, and of the result."""

    left: Sequence[str]
    right: Sequence[str]
    result: Sequence[str]


# Loops of the batch, of rows, of columns and of the sum.
_NAMED = {
    "linalg.matmul": _Product("mk", "kn", "mn"),
    "linalg.matvec": _Product("mk", "k", "m"),
    "linalg.vecmat": _Product("k", "kn", "n"),
    "linalg.batch_matmul": _Product("bmk", "bkn", "bmn"),
    "linalg.batch_matvec": _Product("bmk", "bk", "bm"),
    "linalg.batch_vecmat": _Product("bk", "bkn", "bn"),
}
# The axes of a tensor, each of which is a loop.
_AXES = re.compile(r"-> \(((?:d\d+(?:, )?)+)\)>")


def tie_products(converted: Converted) -> None:
    """Tie products to their sizes where a call says them; the count of terms is a size of its own."""
    if all(port.weight is None for port in converted.source.inputs):
        return
    for op in converted.operations("linalg.generic", *_NAMED):
        product = _NAMED.get(op.name) or _of_loops(op)
        if product is not None:
            with ir.InsertionPoint(op), op.location:
                _tie(op, product)
            _tie_result(op)


def _of_loops(nest: ir.Operation) -> _Product | None:
    """A loop nest that sums over two tensors along an axis of both."""
    maps = [_AXES.search(str(axes)) for axes in nest.attributes["indexing_maps"]]
    axes = [found[1].split(", ") for found in maps if found is not None]
    if len(maps) != 3 or len(axes) != 3:
        return None
    product = _Product(*axes)
    return product if _summed(product) else None


def _summed(product: _Product) -> set[str]:
    return {*product.left} & {*product.right} - {*product.result}


def _tie(op: ir.Operation, product: _Product) -> None:
    summed = _summed(product)
    sizes: dict[str, ir.Value] = {}
    for place, loops in enumerate((product.left, product.right)):
        tensor = op.operands[place]
        said = [(axis, loop) for axis, loop in enumerate(loops) if tensor.type.is_dynamic_dim(axis)]
        for axis, loop in said:
            if loop not in sizes:
                sizes[loop] = _size(tensor, axis, behind=loop in summed)
        if said:
            operands = [tensor, *(sizes[loop] for _, loop in said)]
            op.operands[place] = make("flow.tensor.tie_shape", operands, tensor.type)


def _tie_result(op: ir.Operation) -> None:
    """Tie the result to the sizes of the tensor that it is written to."""
    result, output = op.results[0], op.operands[2]
    axes = [axis for axis in range(result.type.rank) if result.type.is_dynamic_dim(axis)]
    readers = [(use.owner, use.operand_number) for use in result.uses]
    if not axes:
        return
    with ir.InsertionPoint.after(op), op.location:
        sizes = [_size(output, axis, behind=False) for axis in axes]
        tied = make("flow.tensor.tie_shape", [result, *sizes], result.type)
    for reader, place in readers:
        reader.operands[place] = tied


def _size(tensor: ir.Value, axis: int, behind: bool) -> ir.Value:
    """A size of a tensor; `behind`: behind a barrier."""
    index = ir.IndexType.get()
    number = make("arith.constant", (), index, value=ir.IntegerAttr.get(index, axis))
    size = make("tensor.dim", [tensor, number], index)
    return make("util.optimization_barrier", [size], index) if behind else size
