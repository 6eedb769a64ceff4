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


class ModuleReference:
    """A module of the caller's, called as it is. As a context: its weights get their values back.

    `names`: full names of the tensors that the program can write.
    """

    def __init__(self, module: torch.nn.Module, names: set[str]) -> None:
        self._module = module
        state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        self._tensors = {name: tensor for name, tensor in state.items() if name in names}
        self._saved = {name: tensor.detach().clone() for name, tensor in state.items()}
        self._state = state

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with torch.no_grad():
            return self._module(*args, **kwargs)

    @property
    def buffers(self) -> dict[str, torch.Tensor]:
        """Current values of the tensors that the program can write, by full name."""
        return {name: tensor.detach() for name, tensor in self._tensors.items()}

    def __enter__(self) -> ModuleReference:
        return self

    def __exit__(self, *_: object) -> None:
        with torch.no_grad():
            for name, tensor in self._state.items():
                tensor.copy_(self._saved[name])


@contextmanager
def eager(source: Any, lowered: Planned) -> Iterator[Any]:
    """Eager, its buffers as before any call: a module, torch's own for an ExportedProgram, or ATen."""
    if isinstance(source, torch.nn.Module):
        with ModuleReference(source, state_names(lowered.program)) as module:
            yield module
    elif isinstance(source, torch.export.ExportedProgram):
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
