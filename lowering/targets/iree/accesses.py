"""The bytes that an operation of IREE's stream phase reads and writes, through IREE's own bindings."""

# IREE's bindings come without stubs of their native part.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from iree.compiler import ir
from iree.compiler.dialects import arith, stream, util

_WRITE = 2
"""The bit of `resource_accesses` that says write; 1 says read (IREE's ResourceAccessBitfield)."""


@dataclass(frozen=True)
class Resource:
    """A resource of a lifetime; `number` is None where it may be any of that lifetime.

    `lifetime`: its type, `!stream.resource<transient>` say; a resource has one. `number`: the hash of a value
    that stands for it, or of the name of a global.
    """

    lifetime: str
    number: int | None

    def may_be(self, other: Resource) -> bool:
        """Whether both may be the same memory."""
        if self.lifetime != other.lifetime:
            return False
        return self.number is None or other.number is None or self.number == other.number


Place = tuple[Resource, int]
"""A resource and an offset into it, in bytes."""

Places = Mapping[ir.Value, Place]
"""The places of the arguments of an execution region."""


@dataclass(frozen=True)
class Access:
    """Bytes `[start, end)` of a resource, or all of it where `start` or `end` is None."""

    resource: Resource
    start: int | None
    end: int | None
    writes: bool

    def conflicts(self, other: Access) -> bool:
        """Whether both touch the same bytes and one writes them."""
        if not (self.writes or other.writes) or not self.resource.may_be(other.resource):
            return False
        if self.start is None or self.end is None or other.start is None or other.end is None:
            return True
        return self.start < other.end and other.start < self.end


def captured(execute: stream.CmdExecuteOp) -> Places:
    """The place of each argument of an execution region."""
    arguments = execute.body.blocks[0].arguments
    return {
        argument: _place(value) for argument, value in zip(arguments, execute.resource_operands, strict=True)
    }


def members(region: ir.Region) -> list[ir.OpView]:
    """The operations of a region of commands, without the one that ends it."""
    return [member for member in region.blocks[0].operations if not isinstance(member, stream.YieldOp)]


def accesses(operation: ir.OpView, places: Places) -> Iterator[Access]:
    """The bytes that a command touches, and those of the commands in its regions."""
    if isinstance(operation, stream.CmdConcurrentOp | stream.CmdSerialOp):
        for member in members(operation.body):
            yield from accesses(member, places)
    elif isinstance(operation, stream.CmdDispatchOp):
        for resource, offset, length, access in zip(
            operation.resources,
            operation.resource_offsets,
            operation.resource_lengths,
            operation.resource_accesses,
            strict=True,
        ):
            writes = bool(ir.IntegerAttr(access).value & _WRITE)
            yield _access(places, resource, offset, length, writes)
    elif isinstance(operation, stream.CmdCopyOp):
        yield _access(places, operation.source, operation.source_offset, operation.length, False)
        yield _access(places, operation.target, operation.target_offset, operation.length, True)
    elif isinstance(operation, stream.CmdFillOp):
        yield _access(places, operation.target, operation.target_offset, operation.target_length, True)
    else:
        # Not known here: it may write all of its operands.
        for operand in operation.operands:
            if operand in places:
                yield Access(places[operand][0], None, None, True)


def work(operation: ir.OpView) -> Iterator[Access]:
    """The bytes that an asynchronous operation outside of execution regions touches."""
    if isinstance(operation, stream.CmdExecuteOp):
        places = captured(operation)
        for member in members(operation.body):
            yield from accesses(member, places)
        return
    for operand in operation.operands:
        if str(operand.type).startswith("!stream.resource"):
            yield Access(_place(operand)[0], None, None, True)


def _place(value: ir.Value) -> Place:
    """The resource that a value is a part of. An argument of a block may be any of its lifetime."""
    owner = value.owner
    unknown = Resource(str(value.type), None), 0
    if isinstance(owner, ir.Block | arith.SelectOp):
        return unknown
    if isinstance(owner, stream.ResourceSubviewOp):
        resource, offset = _place(owner.source)
        inner = _integer(owner.source_offset)
        return (resource, offset + inner) if inner is not None else unknown
    if isinstance(owner, stream.TimepointAwaitOp):
        return _place(owner.resource_operands[ir.OpResult(value).result_number])
    if isinstance(owner, util.GlobalLoadOp):
        return Resource(str(value.type), hash(str(owner.global_))), 0
    if isinstance(owner, stream.TensorImportOp):
        # Two imports of one buffer are one resource. Two buffers are the caller's, and do not overlap.
        return Resource(str(value.type), hash(owner.source)), 0
    return Resource(str(value.type), hash(value)), 0


def _access(places: Places, resource: ir.Value, offset: ir.Value, length: ir.Value, writes: bool) -> Access:
    root, base = places.get(resource) or (Resource(str(resource.type), None), 0)
    start, size = _integer(offset), _integer(length)
    if start is None or size is None:
        return Access(root, None, None, writes)
    return Access(root, base + start, base + start + size, writes)


def _integer(value: ir.Value) -> int | None:
    owner = value.owner
    return ir.IntegerAttr(owner.value).value if isinstance(owner, arith.ConstantOp) else None
