"""torch's own eager execution of an ExportedProgram, as the thing to compare with."""

from __future__ import annotations

from typing import Any

import torch

from lowering.ir.program import InputKind, Program


class ExportedReference:
    """torch's own way to run an ExportedProgram: `ep.module()`.

    As a context: when it ends, the program's buffers have the values back that they had.
    """

    def __init__(self, exported: torch.export.ExportedProgram, program: Program) -> None:
        self._module = exported.module()
        self._saved = {name: b.detach().clone() for name, b in self._module.named_buffers()}
        self._originals = dict(self._module.named_buffers())
        self._names = buffer_names(program)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with torch.no_grad():
            return self._module(*args, **kwargs)

    @property
    def buffers(self) -> dict[str, torch.Tensor]:
        """Current values of the program's buffers."""
        named = dict(self._module.named_buffers())
        return {name: named[name].detach() for name in self._names if name in named}

    def __enter__(self) -> ExportedReference:
        return self

    def __exit__(self, *_: object) -> None:
        with torch.no_grad():
            for name, value in self._saved.items():
                self._originals[name].copy_(value)


def buffer_names(program: Program) -> list[str]:
    """Full names of the program's buffers, persistent or not."""
    specs = program.signature.inputs
    return [s.target for s in specs if s.kind is InputKind.BUFFER and s.target is not None]
