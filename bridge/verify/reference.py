"""Eager, as the thing to compare with: called like the model, its state kept between calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from lowering.ir.program import InputKind, Program
from lowering.ir.tree import unflatten
from lowering.ir.weights import Weights
from runtime.aten import interpret
from runtime.inputs import Binder
from runtime.tensors import torch_dtype


class ExportedReference:
    """torch's own way to run an ExportedProgram: `ep.module()`."""

    name = "ExportedProgram.module()"

    def __init__(self, exported: torch.export.ExportedProgram, program: Program) -> None:
        # Deep copies: the caller's program keeps its buffers.
        self._module = exported.module()
        self._saved = {name: b.detach().clone() for name, b in self._module.named_buffers()}
        self._originals = dict(self._module.named_buffers())
        self._names = buffer_names(program)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with torch.no_grad():
            return self._module(*args, **kwargs)

    def buffers(self) -> dict[str, torch.Tensor]:
        """Current values of the program's buffers."""
        named = dict(self._module.named_buffers())
        return {name: named[name].detach() for name in self._names if name in named}

    def restore(self) -> None:
        """Give the buffers back the values that they had."""
        with torch.no_grad():
            for name, value in self._saved.items():
                self._originals[name].copy_(value)


class InterpretedReference:
    """The program as read, before any rewrite, node by node on ATen."""

    name = "the program as read, on ATen"

    def __init__(self, program: Program, weights: Weights) -> None:
        self._program = program
        self._binder = Binder(program)
        self._tensors = strided_tensors(weights)
        self._names = buffer_names(program)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        bound = self._binder.bind(args, kwargs)
        with torch.no_grad():
            leaves = interpret(self._program, self._tensors, bound.leaves, bound.symbols)
        return unflatten(leaves, self._program.signature.out_spec)

    def buffers(self) -> dict[str, torch.Tensor]:
        """Current values of the program's buffers."""
        return {name: self._tensors[name] for name in self._names}

    def restore(self) -> None:
        """Nothing to do: the tensors are copies of its own."""


def buffer_names(program: Program) -> list[str]:
    """Full names of the program's buffers, persistent or not."""
    specs = program.signature.inputs
    return [s.target for s in specs if s.kind is InputKind.BUFFER and s.target is not None]


def strided_tensors(weights: Weights) -> Mapping[str, torch.Tensor]:
    """Every weight as torch would have loaded it: views over private copies of the storages, ties kept."""
    storages = {
        key: torch.frombuffer(bytearray(storage.open().tobytes()), dtype=torch.uint8).untyped_storage()
        if storage.nbytes
        else torch.UntypedStorage(0)
        for key, storage in weights.storages.items()
    }
    tensors: dict[str, torch.Tensor] = {}
    for name, view in weights.views.items():
        empty = torch.empty(0, dtype=torch_dtype(view.dtype))
        tensors[name] = empty.set_(storages[view.storage], view.offset, view.sizes, view.strides)
    return tensors
