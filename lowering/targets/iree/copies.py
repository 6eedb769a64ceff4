"""Values that IREE would overwrite: arguments, and other values that are read later.

IREE 3.13 updates a buffer in place where the program does not read its value again: a scatter, a sort, an
inserted slice or a loop that starts from it. Two faults come of that. An argument's buffer is the caller's
(its issue 16168). And where operations are gathered into waves, the update may come before a reader that the
program has before it: the scheduler keeps the order of results, and a reader and an update have none
(docs/decisions/0025). So what is written to is first copied, by an operation that IREE can neither fold away
nor see through. A donated argument that nothing else reads is left to IREE, which writes in place where that
is right.
"""

# IREE's bindings come without stubs of their native part.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from iree.compiler import ir

from lowering.targets.iree.converted import Converted, constant, empty_like, generic, make, operations
from lowering.targets.iree.writes import VIEWS, written

# Operations whose result has elements of the first operand, and perhaps its memory.
_SAME = VIEWS | {"tensor.extract_slice"}
# Operations whose result is made anew for each reader.
_FRESH = frozenset(("arith.constant", "tensor.empty", "tensor.splat", "linalg.fill"))


def copy_overwritten_values(converted: Converted) -> None:
    """Copy every value that IREE would overwrite though it must not."""
    donated = {given for given, _ in converted.source.donations()}
    main = converted.entry
    body = main.regions[0].blocks[0]
    found = _to_protect(main, {value for at, value in enumerate(body.arguments) if at not in donated})
    if not found:
        return
    with ir.InsertionPoint.at_block_begin(body), main.location:
        yes = constant(ir.IntegerType.get_signless(1), 1)
        # Each copy has a condition of its own. The compiler makes one of two equal copies, and both writers
        # would share it.
        conditions = [make("util.optimization_barrier", [yes], yes.type) for _ in found]
    for (op, place), condition in zip(found, conditions, strict=True):
        with ir.InsertionPoint(op), op.location:
            op.operands[place] = _copy(op.operands[place], condition)


def _to_protect(main: ir.Operation, kept: Collection[ir.Value]) -> list[tuple[ir.Operation, int]]:
    """The operands that are written to and are of `kept`, or are also read.

    Values of a loop's own are left out: each turn has its own.
    """
    body = main.regions[0].blocks[0]
    root: dict[ir.Value, ir.Value] = {}
    outside: set[ir.Value] = {*body.arguments}
    uses: Counter[ir.Value] = Counter()
    writes: list[tuple[ir.Operation, int]] = []
    for op in operations(main):
        nested = op.block != body
        if op.name in _SAME:
            root[op.results[0]] = root.get(op.operands[0], op.operands[0])
            continue
        if not nested and op.name not in _FRESH:
            outside.update(op.results)
        for value in op.operands:
            # A loop that reads what is outside of it may do so many times.
            uses[root.get(value, value)] += 1 + nested
        writes += [(op, at) for at in written(op) if isinstance(op.operands[at].type, ir.RankedTensorType)]
    origins = [root.get(op.operands[at], op.operands[at]) for op, at in writes]
    return [
        write
        for write, origin in zip(writes, origins, strict=True)
        if origin in kept or (origin in outside and uses[origin] > 1)
    ]


def _copy(value: ir.Value, condition: ir.Value) -> ir.Value:
    """The value in memory of its own."""
    type_ = ir.RankedTensorType(value.type)
    zero = constant(type_.element_type, 0)
    axes = range(type_.rank)
    return generic(
        [value],
        empty_like(value),
        [axes, axes],
        lambda given, _: make("arith.select", [condition, given, zero]),
    )
