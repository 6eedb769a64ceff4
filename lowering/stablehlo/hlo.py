"""The one door to `jax.extend.mlir`: MLIR types, dialects, locations, bytecode.

Nothing else in Bridge imports jax's MLIR; a jax release that moves something is answered here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.extend import mlir as _mlir
from jax.extend.mlir import ir, passmanager
from jax.extend.mlir.dialects import chlo, func, stablehlo
from jax.interpreters import mlir as _jax_mlir

from lowering.host import tensors
from lowering.ir.types import DType
from lowering.stablehlo.errors import Unsupported

__all__ = ["chlo", "func", "ir", "stablehlo"]

stablehlo.register_stablehlo_passes()

# The oldest StableHLO that understands what we emit: readers of that age and younger load our artifacts.
PORTABLE_VERSION = "1.8.0"


def make_context() -> ir.Context:
    """An MLIR context that knows func, StableHLO and CHLO."""
    context = _jax_mlir.make_ir_context()
    context.enable_multithreading(False)
    return context


def element_type(dtype: DType) -> ir.Type | None:
    """The MLIR element type, or None where StableHLO has none (complex32). Needs a current context."""
    return None if dtype.mlir is None else ir.Type.parse(dtype.mlir)


_DTYPES = {dtype.mlir: dtype for dtype in DType if dtype.mlir is not None}


def dtype_of(element: ir.Type) -> DType:
    """The dtype of an MLIR element type; Unsupported for one that StableHLO infers and does not have."""
    dtype = _DTYPES.get(str(element))
    if dtype is None:
        raise Unsupported(f"StableHLO has no {element}")
    return dtype


def dense(array: np.ndarray, type_: ir.RankedTensorType) -> ir.Attribute:
    """A constant attribute holding an array whose bits are those of `type_`'s elements, row-major."""
    array = np.ascontiguousarray(array)
    if array.dtype == np.bool_ and array.size:
        # A packed buffer of one byte would be read as a splat.
        bits = [ir.IntegerAttr.get(type_.element_type, int(bit)) for bit in array.flat]
        return ir.DenseElementsAttr.get(bits, type_)
    array = array.view(tensors.raw_dtype(tensors.dtype_of(array)))
    buffer: Any = array  # which numpy declares as one only from Python 3.12 on
    return ir.DenseElementsAttr.get(buffer, type=type_.element_type, shape=type_.shape)


def location(name: str, frames: Sequence[tuple[str, int, str, str]]) -> ir.Location:
    """`loc("node"("file.py":12:0))`: the node's name over the model's source line."""
    child = ir.Location.file(_utf8(frames[-1][0]), frames[-1][1], 0) if frames else None
    return ir.Location.name(_utf8(name), childLoc=child)


def current_location() -> ir.Location:
    """The location that operations made now get."""
    return ir.Location.current  # pyright: ignore[reportReturnType]


def relocate(op: ir.Operation, place: ir.Location) -> None:
    """Give an operation, and its nested operations, another location."""
    op.location = place
    for region in op.regions:
        for block in region.blocks:
            for inner in block.operations:
                relocate(inner.operation, place)


def _utf8(text: str) -> str:
    """Text that MLIR can hold: JSON may name half a surrogate pair."""
    return text.encode("utf-8", "replace").decode()


def legalise_chlo(module: ir.Module) -> None:
    """Rewrite CHLO operations into StableHLO, in place: the portable format does not know CHLO."""
    _run(module, "chlo-legalize-to-stablehlo")


def simplify(module: ir.Module) -> None:
    """Fold, merge equal operations and drop those that nothing reads, in place."""
    _run(module, "canonicalize,cse")


def merge_equal(module: ir.Module) -> None:
    """Let one of several equal operations stand for all of them, in place."""
    _run(module, "cse")


def refine(module: ir.Module, types: Sequence[str]) -> None:
    """Give `@main` arguments of these static types, in place, and all that follows from them static types."""
    passes = f"stablehlo-refine-arguments{{types={','.join(types)}}},stablehlo-refine-shapes"
    clean = "func.func(stablehlo-canonicalize-dynamism,canonicalize,cse)"
    passmanager.PassManager.parse(f"builtin.module({passes},{clean})", module.context).run(module.operation)


def dynamic_gather(
    made: ir.Type, value: ir.Value, indices: ir.Value, sizes: ir.Value, numbers: ir.Attribute
) -> ir.Value:
    """`stablehlo.dynamic_gather` of this result type: jax's own builder infers it, and cannot."""
    operands = [value, indices, sizes]
    op = ir.Operation.create(
        "stablehlo.dynamic_gather", [made], operands, attributes={"dimension_numbers": numbers}
    )
    return op.results[0]


def main_of(module: ir.Module) -> func.FuncOp:
    """The module's `@main`."""
    return next(
        op for op in module.body.operations if isinstance(op, func.FuncOp) and op.name.value == "main"
    )


def whole(number: int) -> ir.Value:
    """A constant, a 0-d tensor of int64, at the insertion point."""
    type_ = ir.RankedTensorType.get([], ir.IntegerType.get_signless(64))
    return stablehlo.constant(dense(np.array(number, np.int64), type_))


def _run(module: ir.Module, passes: str) -> None:
    """Run MLIR passes, by their names, on each function of a module."""
    manager = passmanager.PassManager.parse(f"builtin.module(func.func({passes}))", module.context)
    manager.run(module.operation)


def serialize(module: ir.Module) -> bytes:
    """Portable bytecode (VHLO) at `PORTABLE_VERSION`, of a module that rules have built.

    jax's function also merges equal constants at the head of `@main`, and expands what VHLO does not have.
    """
    return _mlir.serialize_portable_artifact(module, PORTABLE_VERSION)


def serialize_as_it_is(module: ir.Module) -> bytes:
    """The same of a module that came from bytecode and that passes have changed, in a quarter of the time."""
    with module.operation.location:
        copy = ir.Module.create()
    for name in module.operation.attributes:
        copy.operation.attributes[name] = module.operation.attributes[name]
    with ir.InsertionPoint(copy.body):
        for op in module.body.operations:
            op.operation.clone()
    # StableHLO's own function turns the module that it gets into VHLO.
    return stablehlo.serialize_portable_artifact(copy, PORTABLE_VERSION)


def deserialize(code: bytes, context: ir.Context) -> ir.Module:
    """The module that portable bytecode holds."""
    return _mlir.deserialize_portable_artifact(code, context)


def text_of(code: bytes, locations: bool = False) -> str:
    """MLIR text of portable bytecode, with the location of each operation if asked for."""
    with make_context() as context, ir.Location.unknown():
        module = deserialize(code, context)
        return str(module.operation.get_asm(enable_debug_info=locations, large_elements_limit=64))
