"""A module while passes rewrite it: MLIR in memory, beside what the plain value says of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lowering.ir.module import Module
from lowering.stablehlo import hlo
from lowering.stablehlo.hlo import func, ir
from lowering.stablehlo.passes import StableHloPipeline
from lowering.stablehlo.value import Value

# Constants of more elements than this are shown without them.
_SHOWN_ELEMENTS = 16


@dataclass
class ParsedModule:
    """A module that passes change in place. `source`: the ports of `@main`, the name, the donations; its code
    is what was parsed. `mlir`: the module as it is now. Both live in the current MLIR context."""

    source: Module
    mlir: ir.Module

    @property
    def entry(self) -> func.FuncOp:
        """`@main`, the only function."""
        return next(op for op in self.mlir.body.operations if isinstance(op, func.FuncOp))

    @property
    def block(self) -> ir.Block:
        """The body of `@main`."""
        return self.entry.entry_block

    @property
    def weights(self) -> set[ir.Value]:
        """The arguments that are the same in every call."""
        pairs = zip(self.entry.arguments, self.source.inputs, strict=True)
        return {argument for argument, port in pairs if port.weight is not None}

    def verify(self) -> None:
        """Raise MLIRError where MLIR's verifier finds fault."""
        self.mlir.operation.verify()

    def check_no_dead_operations(self) -> None:
        """Raise ValueError where nothing reads any result of an operation of `@main`."""
        if dead := next(unread(self.block), None):
            raise ValueError(f"nothing reads the results of {dead.name}")

    def text(self) -> str:
        """MLIR text, without large constants; the module that runs at load, if there is one, comes last."""
        shown = self.mlir.operation.get_asm(large_elements_limit=_SHOWN_ELEMENTS)
        if self.source.load is None:
            return str(shown)
        return f"{shown}\n// at load\n{hlo.text_of(self.source.load.code)}"


def nbytes(value: ir.Value) -> int:
    """The size of a value's elements."""
    found = Value(value)
    return found.size * found.dtype.itemsize


def unread(block: ir.Block) -> Iterator[ir.Operation]:
    """The operations of a block with results that nothing reads, last first; the caller may erase each
    meanwhile."""
    for op in reversed(list(block.operations)):
        results = list(op.operation.results)
        if results and not any(list(result.uses) for result in results):
            yield op.operation


def rewritten(module: Module, pipeline: StableHloPipeline) -> Module:
    """The module after a pipeline: the same arguments that come with a call, the same results.

    A pass may give it a module that runs at load (`weight-hoisting`). Results of `load` then take the place
    of weights that nothing else reads.
    """
    with hlo.make_context() as context, ir.Location.unknown():
        parsed = pipeline.run(ParsedModule(module, hlo.deserialize(module.code, context)))
        parsed.verify()
        return replace(parsed.source, code=hlo.serialize_as_it_is(parsed.mlir))
