"""Running a program as it was read, before any rewrite: the meaning of "eager" for a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from lowering.ir.program import MUTATIONS, InputKind, OutputKind, Program
from lowering.ir.symbols import Scalar
from lowering.targets.aten.routine import Function
from lowering.targets.errors import ExecutionError
from lowering.targets.target import Record


def interpret(
    program: Program,
    weights: Mapping[str, torch.Tensor],
    inputs: Sequence[Any],
    symbols: Mapping[str, Scalar],
    record: Record | None = None,
) -> list[Any]:
    """Run a program as it was read: the reference that everything else is compared with.

    `weights`: parameters, buffers and constants by full name, tied ones sharing memory. `inputs`: the leaves
    of the call, in order. `symbols`: the sizes they bind. The program writes in place to these tensors,
    mutations in the signature included. Returns the leaves of the result.
    """
    leaves = iter(inputs)
    given: dict[str, Any] = {}
    named: dict[str, Any] = {}
    for spec in program.signature.inputs:
        name = spec.fqn or spec.name
        if spec.kind in (InputKind.USER, InputKind.LITERAL):
            value = next(leaves)
        elif spec.kind is InputKind.TOKEN:
            value = None
        elif name in weights:
            value = named[name] = weights[name]
        else:
            raise ExecutionError(f"{spec.kind.value} {name!r} cannot be run: it has no tensor")
        given[spec.name] = value.detach() if isinstance(value, torch.Tensor) else value
    function = Function(program.graph)
    if record is not None:
        function.routine = function.routine.timed(record)
    results = function(dict(symbols), *given.values())
    returned = []
    for spec, value in zip(program.signature.outputs, results, strict=True):
        if spec.kind in (OutputKind.USER, OutputKind.LOSS):
            returned.append(value)
        elif spec.kind in MUTATIONS:
            written = given if spec.kind is OutputKind.INPUT_MUTATION else named
            written[spec.destination or ""].detach().copy_(value)
        elif spec.kind is not OutputKind.TOKEN:
            raise ExecutionError(f"outputs of kind {spec.kind.value} cannot be run: export without them")
    return returned
