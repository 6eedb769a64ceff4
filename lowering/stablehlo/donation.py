"""Modules whose inputs a call may overwrite, and the checks that have to be made before it does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lowering.ir.module import Module
from lowering.stablehlo import hlo
from lowering.stablehlo.hlo import func, ir

# A preflight of more operations that compute is left out, and so is one with costly operations. The buffers
# are copied instead: a call that fails must find them as they were.
_MAX_OPERATIONS = 64
# These give operations their operands in another form, and compile to nothing of their own.
_FORMS = frozenset(
    f"stablehlo.{name}" for name in "broadcast_in_dim concatenate constant iota reshape slice".split()
)
_COSTLY = frozenset(
    f"stablehlo.{name}"
    for name in "cholesky convolution custom_call dot_general fft rng sort triangular_solve while".split()
)


def donate(module: Module, pairs: tuple[tuple[str, str], ...]) -> Module:
    """The module with these inputs donated, and a preflight if it has checks; as it was if that is dear."""
    if not pairs:
        return module
    if not module.checks:
        return replace(module, donated=pairs)
    preflight = _preflight(module)
    return module if preflight is None else replace(module, donated=pairs, preflight=preflight)


def _preflight(module: Module) -> Module | None:
    """The checks of a module alone; None if computing them is much work."""
    with hlo.make_context() as context, ir.Location.unknown():
        parsed = hlo.deserialize(module.code, context)
        entry = next(op for op in parsed.body.operations if isinstance(op, func.FuncOp))
        block = entry.entry_block
        end = block.operations[len(block.operations) - 1]
        flags = end.operands[len(end.operands) - 1]
        with ir.InsertionPoint(end):
            func.ReturnOp([flags])
        end.operation.erase()
        entry.attributes["function_type"] = ir.TypeAttr.get(
            ir.FunctionType.get(list(entry.type.inputs), [flags.type])
        )
        hlo.simplify(parsed)
        block = entry.entry_block
        computing = [op for op in block.operations if op.operation.name not in _FORMS]
        if len(computing) > _MAX_OPERATIONS or _COSTLY & _nested_names(block):
            return None
        kept = [at for at, argument in enumerate(block.arguments) if any(True for _ in argument.uses)]
        for at in reversed(range(len(block.arguments))):
            if at not in kept:
                block.erase_argument(at)
        entry.attributes["function_type"] = ir.TypeAttr.get(
            ir.FunctionType.get([argument.type for argument in block.arguments], [flags.type])
        )
        parsed.operation.verify()
        code = hlo.serialize(parsed)
    inputs = tuple(module.inputs[at] for at in kept)
    return Module(code, inputs, module.outputs[-1:], f"{module.name}_checks", module.checks)


def _nested_names(block: Any) -> set[str]:
    """Names of the operations of a block, nested regions included."""
    names: set[str] = set()
    for op in block.operations:
        names.add(op.operation.name)
        for region in op.operation.regions:
            for inner in region.blocks:
                names |= _nested_names(inner)
    return names
