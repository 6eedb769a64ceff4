"""Which buffers a program replaces, and by what."""

from __future__ import annotations

from lowering.ir.plan import Plan, Segment
from lowering.ir.program import BUFFER_WRITES, MUTATIONS, STORED, OutputKind, Program, Ref
from lowering.ir.uses import output_names, used_by


def tied(program: Program) -> dict[str, str]:
    """Buffers that nothing reads, with the buffer that gets the same new value.

    By full name. They are other names of one tensor, of which a functional program reads only the first.
    """
    signature, graph = program.signature, program.graph
    stored = {spec.fqn or "": spec.name for spec in signature.inputs if spec.kind in STORED}
    read = {*used_by(graph.nodes), *output_names(graph)}
    groups: dict[str, list[str]] = {}
    for spec in signature.outputs:
        if spec.kind in BUFFER_WRITES and isinstance(spec.value, Ref) and spec.destination in stored:
            groups.setdefault(spec.value.name, []).append(spec.destination or "")
    found: dict[str, str] = {}
    for names in groups.values():
        first = next((name for name in names if stored[name] in read), names[0])
        found |= {name: first for name in names if name != first and stored[name] not in read}
    return found


def updates(program: Program) -> dict[str, str]:
    """The value of each buffer that a functional program writes, and the value that takes its place.

    The new value may lie in the old one's memory once nothing reads the old one. So the program does not
    return the old value, and the new value is not an input or another buffer's.
    """
    signature = program.signature
    stored = {spec.fqn: spec.name for spec in signature.inputs if spec.kind in STORED}
    others = tied(program)
    written = [
        (stored[spec.destination], spec.value.name)
        for spec in signature.outputs
        if spec.kind in BUFFER_WRITES
        and isinstance(spec.value, Ref)
        and spec.destination in stored
        and spec.destination not in others
    ]
    return _replaceable(program, written, [new for _, new in written])


def input_updates(program: Program) -> dict[str, str]:
    """The same of the tensors that a program is given and writes: of memory that is the caller's."""
    outputs = program.signature.outputs
    written = [
        (spec.destination or "", spec.value.name)
        for spec in outputs
        if spec.kind is OutputKind.INPUT_MUTATION and isinstance(spec.value, Ref)
    ]
    kept = [s.value.name for s in outputs if s.kind in MUTATIONS and isinstance(s.value, Ref)]
    return _replaceable(program, written, kept)


def _replaceable(program: Program, written: list[tuple[str, str]], kept: list[str]) -> dict[str, str]:
    """Old and new values, where the new one is kept in one place and the old one is not returned."""
    given = {spec.name for spec in program.signature.inputs}
    returned = set(output_names(program.graph))
    return {
        old: new for old, new in written if kept.count(new) == 1 and new not in given and old not in returned
    }


def donations(program: Program, plan: Plan, segment: Segment) -> tuple[tuple[str, str], ...]:
    """(old value, new value) of the buffers whose last reader is this segment, which makes the new one."""
    later = {name for other in plan.segments if other.index > segment.index for name in other.inputs}
    return tuple(
        (old, new)
        for old, new in updates(program).items()
        if old in segment.inputs and new in segment.outputs and old not in later
    )
