"""Buffers that another method writes are state of this one too.

A buffer that no call writes is a constant: it is folded, laid out anew, and bound when a program is loaded.
One that another program over the same state writes has another value at each call. So the program says that
it writes it: its own value, unchanged.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from lowering.ir.program import (
    BUFFER_WRITES,
    MUTATIONS,
    STORED,
    InputKind,
    OutputKind,
    OutputSpec,
    Program,
    Ref,
)
from lowering.passes.pipeline import Pass
from lowering.passes.program import FUNCTIONAL


def hold_buffers(names: Collection[str] = ()) -> Pass[Program]:
    """The pass for a program among others that write the buffers of these full names."""

    def run(program: Program) -> Program:
        return _held(program, names) if names else program

    return Pass(
        "hold-buffers",
        run,
        "Keep a buffer that another method writes, and this one reads, as state.",
        requires=(FUNCTIONAL,),
        required=True,
    )


def _held(program: Program, names: Collection[str]) -> Program:
    signature = program.signature
    written = {spec.destination for spec in signature.outputs if spec.kind in BUFFER_WRITES}
    added = tuple(
        OutputSpec(_kind(spec.kind), Ref(spec.name), spec.fqn)
        for spec in signature.inputs
        if spec.kind in STORED and spec.fqn in names and spec.fqn not in written
    )
    leading = sum(spec.kind in (OutputKind.TOKEN, *MUTATIONS) for spec in signature.outputs)
    outputs = (*signature.outputs[:leading], *added, *signature.outputs[leading:])
    graph = replace(program.graph, outputs=tuple(spec.value for spec in outputs))
    return replace(program, graph=graph, signature=replace(signature, outputs=outputs))


def _kind(kind: InputKind) -> OutputKind:
    return OutputKind.PARAMETER_MUTATION if kind is InputKind.PARAMETER else OutputKind.BUFFER_MUTATION


def written_buffers(program: Program) -> tuple[str, ...]:
    """The full names of the buffers that a call of a functional program changes, in order."""
    names = {spec.fqn: spec.name for spec in program.signature.inputs if spec.kind in STORED}
    return tuple(
        spec.destination or ""
        for spec in program.signature.outputs
        if spec.kind in BUFFER_WRITES and spec.value != Ref(names.get(spec.destination, ""))
    )
