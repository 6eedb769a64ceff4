"""Operations that IREE would run side by side though one writes bytes that another touches.

IREE's stream phase gathers operations into waves (`stream.cmd.concurrent`), whose members run at the same
time. To do so, IREE 3.13 compares an operation with the direct users of its result only. A wave may then hold
an update in place, an update of the bytes beside it, and a read of the first bytes: the read and the first
update race (docs/decisions/0025). The check here does not depend on the cause. It compares the byte
ranges of all members of a wave, as IREE has placed them, and the parts that do not wait for one another.
"""

# IREE's bindings come without stubs of their native part.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from iree.compiler import ir
from iree.compiler.dialects import stream

from lowering.targets.iree.accesses import Access, Places, accesses, captured, members, work


@dataclass(frozen=True)
class Wave:
    """The members of a wave by name, cut into runs without a conflict inside; in order of the program."""

    runs: tuple[tuple[str, ...], ...]

    @property
    def races(self) -> bool:
        return len(self.runs) > 1


def check(text: str) -> list[Wave]:
    """The waves of a module of IREE's stream phase in order of appearance.

    `text`: the module before IREE's pass iree-stream-fuse-dispatch-bindings, where a dispatch still names the
    byte range of each of its operands. Raises ir.MLIRError for other text, ValueError where parts of the
    program that do not wait for one another conflict.
    """
    with ir.Context():
        module = ir.Module.parse(text)
        for block in _blocks(module.operation):
            _check_order(block)
        return [_runs(wave, places) for wave, places in _waves(module.operation, {})]


def split(text: str, expected: Sequence[Wave]) -> str:
    """A module at the end of IREE's stream phase with each wave cut into its runs, which follow one another.

    `expected`: the result of `check` on the same module. Raises ir.MLIRError for other text, ValueError where
    the module has other waves.
    """
    with ir.Context():
        module = ir.Module.parse(text)
        found = [wave for wave, _ in _waves(module.operation, {})]
        names = [tuple(map(_name, members(wave.body))) for wave in found]
        if names != [tuple(name for run in wave.runs for name in run) for wave in expected]:
            raise ValueError("the stream phase has other waves than were checked")
        for operation, wave in zip(found, expected, strict=True):
            if wave.races:
                _cut(operation, [len(run) for run in wave.runs])
        module.operation.verify()
        return module.operation.get_asm(enable_debug_info=True)


def _blocks(root: ir.Operation) -> Iterator[ir.Block]:
    """The blocks of a module but for those of commands."""
    for region in root.regions:
        for block in region.blocks:
            yield block
            for operation in block.operations:
                if not isinstance(operation, stream.CmdExecuteOp | stream.ExecutableOp):
                    yield from _blocks(operation.operation)


def _waves(root: ir.Operation, places: Places) -> Iterator[tuple[stream.CmdConcurrentOp, Places]]:
    for region in root.regions:
        for block in region.blocks:
            for operation in block.operations:
                if isinstance(operation, stream.CmdConcurrentOp):
                    yield operation, places
                inner = captured(operation) if isinstance(operation, stream.CmdExecuteOp) else places
                # An executable is a kernel's code: the largest part of a module, and without waves.
                if not isinstance(operation, stream.ExecutableOp):
                    yield from _waves(operation.operation, inner)


def _runs(wave: stream.CmdConcurrentOp, places: Places) -> Wave:
    runs: list[list[str]] = []
    current: list[Access] = []
    for member in members(wave.body):
        touched = list(accesses(member, places))
        if not runs or _conflict(touched, current):
            runs.append([])
            current = []
        runs[-1].append(_name(member))
        current += touched
    return Wave(tuple(map(tuple, runs)))


_TIMEPOINTS = (
    stream.TimepointAwaitOp,
    stream.TimepointBarrierOp,
    stream.TimepointImmediateOp,
    stream.TimepointImportOp,
    stream.TimepointJoinOp,
)
"""Operations on timepoints that touch no bytes."""


def _check_order(block: ir.Block) -> None:
    """Raise ValueError for two asynchronous operations of a block that conflict and are in no order.

    A branch passes on a timepoint that is reached after all that is before it: one block at a time will do.
    """
    begun: list[tuple[ir.OpView, list[Access]]] = []
    reached: dict[ir.Value, frozenset[int]] = {}
    done: frozenset[int] = frozenset()
    for operation in block.operations:
        if not _kind(operation).startswith("stream."):
            continue
        after = done.union(*(reached.get(operand, frozenset()) for operand in operation.operands))
        if isinstance(operation, stream.TimepointAwaitOp):
            done = after
        timepoints = [value for value in operation.results if str(value.type) == "!stream.timepoint"]
        if timepoints and not isinstance(operation, _TIMEPOINTS):
            touched = list(work(operation))
            for number, (other, others) in enumerate(begun):
                if number not in after and _conflict(touched, others) and not _is_free(other):
                    raise ValueError(f"{_name(operation)} does not wait for {_name(other)}")
            after |= {len(begun)}
            begun.append((operation, touched))
        reached.update(dict.fromkeys(timepoints, after))


def _is_free(operation: ir.OpView) -> bool:
    """Whether an operation frees memory, of which nothing later in the program can be a use.

    Two arguments of blocks may be one resource as far as is known here: the program then says that they are
    not. Memory that is given out anew is another resource.
    """
    return isinstance(operation, stream.ResourceDeallocaOp)


def _conflict(these: Sequence[Access], those: Sequence[Access]) -> bool:
    return any(this.conflicts(that) for this in these for that in those)


def _cut(wave: stream.CmdConcurrentOp, lengths: Sequence[int]) -> None:
    left = iter(members(wave.body))
    for length in lengths:
        run = [next(left) for _ in range(length)]
        if length == 1:
            run[0].move_before(wave)
            continue
        part = stream.CmdConcurrentOp(loc=wave.location, ip=ir.InsertionPoint(wave))
        block = ir.Block.create_at_start(part.body, [])
        end = stream.YieldOp([], [], loc=wave.location, ip=ir.InsertionPoint(block))
        for member in run:
            member.move_before(end)
    wave.erase()


def _name(operation: ir.OpView) -> str:
    """An operation by its name, a dispatch by its entry point: fused bindings leave both as they are."""
    if isinstance(operation, stream.CmdDispatchOp):
        return str(operation.entry_points)
    return _kind(operation)


def _kind(operation: ir.OpView) -> str:
    # A view's own `name` may be its symbol.
    return operation.operation.name
