"""torch's own eager execution of an ExportedProgram, as the thing to compare with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import torch

from bridge.compilation import interpreted
from bridge.planned import Planned
from lowering.ir.argument_paths import top_level_names
from lowering.ir.program import InputKind, OutputKind, Program
from lowering.targets.errors import InputError


class _Reference:
    """A module of torch. At the end of the context, its tensors have the values that they had.

    `tensors`: those that the program can write, by full name. `restored`: those that get their values back.
    """

    def __init__(
        self, module: torch.nn.Module, tensors: Mapping[str, torch.Tensor], restored: Iterable[torch.Tensor]
    ) -> None:
        self._module = module
        self._tensors = tensors
        self._saved = [(tensor, tensor.detach().clone()) for tensor in restored]

    @property
    def buffers(self) -> dict[str, torch.Tensor]:
        """Current values of the tensors that the program can write, by full name."""
        return {name: tensor.detach() for name, tensor in self._tensors.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with torch.no_grad():
            for tensor, value in self._saved:
                tensor.copy_(value)


class ExportedReference(_Reference):
    """torch's own way to run an ExportedProgram: `ep.module()`, whose tensors are the caller's own."""

    def __init__(self, exported: torch.export.ExportedProgram, program: Program) -> None:
        module, signature = exported.module(), program.signature
        self._positional, _ = top_level_names(signature.in_spec, signature.argument_names)
        names = state_names(program)
        stored = {**exported.state_dict, **exported.constants}
        given = {name: stored[name] for name in names if isinstance(stored.get(name), torch.Tensor)}
        tensors = {**given, **{name: held for name, held in module.named_buffers() if name in names}}
        super().__init__(module, tensors, (*given.values(), *tensors.values()))

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


class ModuleReference(_Reference):
    """A module of the caller's, called as it is. `names`: of the tensors that the program can write."""

    def __init__(self, module: torch.nn.Module, names: set[str]) -> None:
        state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        super().__init__(module, {name: state[name] for name in state if name in names}, state.values())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with torch.no_grad():
            return self._module(*args, **kwargs)


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
