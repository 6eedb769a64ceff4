"""torch's own eager execution of an ExportedProgram, as the thing to compare with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from bridge.compilation import interpreted
from bridge.planned import Planned
from lowering.ir.program import InputKind, OutputKind, Program
from lowering.targets.errors import InputError
from runtime.argument_paths import top_level_names


class ExportedReference:
    """torch's own way to run an ExportedProgram: `ep.module()`.

    As a context: when it ends, the tensors that the program can write have the values back that they had.
    They are the caller's own: the module that was exported holds the same ones.
    """

    def __init__(self, exported: torch.export.ExportedProgram, program: Program) -> None:
        self._module = exported.module()
        signature = program.signature
        self._positional, _ = top_level_names(signature.in_spec, signature.argument_names)
        self._names = state_names(program)
        stored = {**exported.state_dict, **exported.constants}
        tensors = {name: stored[name] for name in self._names if isinstance(stored.get(name), torch.Tensor)}
        self._tensors = {**tensors, **{n: b for n, b in self._module.named_buffers() if n in self._names}}
        self._saved = [
            (tensor, tensor.detach().clone()) for tensor in (*tensors.values(), *self._tensors.values())
        ]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it, arguments passed by position where it was exported so: torch takes them no other way."""
        if len(args) > len(self._positional):
            raise InputError(
                f"{len(args)} arguments were given by position, the program takes {len(self._positional)} so"
            )
        named = dict(kwargs)
        rest = [named.pop(name) for name in self._positional[len(args) :] if name in named]
        with torch.no_grad():
            return self._module(*args, *rest, **named)

    @property
    def buffers(self) -> dict[str, torch.Tensor]:
        """Current values of the tensors that the program can write, by full name."""
        return {name: tensor.detach() for name, tensor in self._tensors.items()}

    def __enter__(self) -> ExportedReference:
        return self

    def __exit__(self, *_: object) -> None:
        with torch.no_grad():
            for tensor, value in self._saved:
                tensor.copy_(value)


@contextmanager
def eager(source: Any, lowered: Planned) -> Iterator[Any]:
    """Eager with the buffers as they are before any call: torch's own for an ExportedProgram, else ATen."""
    if isinstance(source, torch.export.ExportedProgram):
        with ExportedReference(source, lowered.program) as module:
            yield module
    else:
        yield interpreted(lowered)


def state_names(program: Program) -> set[str]:
    """Full names of the buffers and constants, and of the parameters that the program says it writes."""
    written = {o.destination for o in program.signature.outputs if o.kind is OutputKind.PARAMETER_MUTATION}
    kinds = (InputKind.BUFFER, InputKind.CONSTANT)
    return {
        spec.fqn
        for spec in program.signature.inputs
        if spec.fqn is not None and (spec.kind in kinds or spec.fqn in written)
    }
