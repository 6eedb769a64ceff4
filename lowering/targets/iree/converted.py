"""The subject of IREE's own passes: a module between the input conversion and the rest of the compiler."""

# IREE's bindings come without stubs of their native part.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from iree.compiler import ir

from lowering.ir.errors import EngineError
from lowering.ir.module import Module
from lowering.targets.diagnostics import first_line
from lowering.targets.iree.interface import MAIN

# Constants of more elements than this are shown without them.
_SHOWN_ELEMENTS = 16

# The operations of linalg with a region of their own. The name of any other implies its region.
_SPELLED = frozenset(("linalg.generic", "linalg.map", "linalg.reduce"))

# Dialects whose operations make an element of several, but for these.
_MIXING = ("linalg.", "iree_linalg_ext.", "scf.")
_BY_ELEMENT = frozenset(f"linalg.{name}" for name in "broadcast fill index map transpose yield".split())


@dataclass
class Converted:
    """A module that passes change in place.

    `source`: the module before the conversion. `mlir`: the module as it is now, in the current context.
    """

    source: Module
    mlir: ir.Module

    @property
    def entry(self) -> ir.Operation:
        """`@main`, before `bind-weights` the only function."""
        return ir.SymbolTable(self.mlir.operation)[MAIN].operation

    def operations(self, *names: str) -> list[ir.Operation]:
        """The operations of these names, in order."""
        return [op for op in operations(self.mlir.operation) if op.name in names]

    def is_elementwise(self) -> bool:
        """Whether there are neither sums, products of matrices, windows nor loops."""
        found = operations(self.mlir.operation)
        return not any(op.name.startswith(_MIXING) and not _is_by_element(op) for op in found)

    def verify(self) -> None:
        """Raise MLIRError where MLIR's verifier finds fault."""
        self.mlir.operation.verify()

    def text(self) -> str:
        """MLIR text, without large constants."""
        return self.mlir.operation.get_asm(large_elements_limit=_SHOWN_ELEMENTS)

    def serialised(self) -> bytes:
        """MLIR bytecode, with locations."""
        code = io.BytesIO()
        self.mlir.operation.write_bytecode(code)
        return code.getvalue()


@contextmanager
def converted(code: bytes | str, source: Module) -> Iterator[Converted]:
    """A module of bytecode or text, in a context of its own. Raises EngineError for anything else."""
    with ir.Context(), ir.Location.unknown():
        try:
            mlir = ir.Module.parse(code)
        except ir.MLIRError as error:
            raise EngineError(f"iree {source.name}: no module was converted: {first_line(error)}") from None
        yield Converted(source, mlir)


def operations(root: ir.Operation) -> list[ir.Operation]:
    """All operations below one, outer ones first; no region that a name implies."""
    found: list[ir.Operation] = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        found.append(op)
        implied = op.name.startswith("linalg.") and op.name not in _SPELLED
        return ir.WalkResult.SKIP if implied else ir.WalkResult.ADVANCE

    root.walk(visit, ir.WalkOrder.PRE_ORDER)
    return found[1:]


def _is_by_element(op: ir.Operation) -> bool:
    return op.name in _BY_ELEMENT or (op.name == "linalg.generic" and is_parallel(op))


def is_parallel(generic: ir.Operation) -> bool:
    """Whether an operation of linalg computes each element by itself."""
    return all("parallel" in str(kind) for kind in generic.attributes["iterator_types"])


# ------------------------------------------------------------------ at the current insertion point


def make(
    name: str, operands: Sequence[ir.Value], type_: ir.Type | None = None, **attributes: ir.Attribute
) -> ir.Value:
    """The result of a new operation. By default, its type follows from the operands."""
    types = None if type_ is None else [type_]
    made = ir.Operation.create(name, types, operands, attributes, infer_type=type_ is None)
    return made.results[0]


def constant(type_: ir.Type, number: int) -> ir.Value:
    """A number of an element type."""
    if isinstance(type_, ir.ComplexType):
        part = ir.FloatAttr.get(type_.element_type, number)
        return make("complex.constant", (), type_, value=ir.ArrayAttr.get([part, part]))
    kind = ir.FloatAttr if isinstance(type_, ir.FloatType) else ir.IntegerAttr
    return make("arith.constant", (), type_, value=kind.get(type_, number))


def empty(sizes: Sequence[int], element: ir.Type) -> ir.Value:
    """A tensor to write to."""
    return make("tensor.empty", (), ir.RankedTensorType.get(sizes, element))


def empty_like(tensor: ir.Value, element: ir.Type | None = None) -> ir.Value:
    """A tensor to write to, of the sizes of another, which may be known only at the call."""
    type_ = ir.RankedTensorType(tensor.type)
    made = ir.RankedTensorType.get(type_.shape, element or type_.element_type)
    return make("tensor.empty", _dynamic_sizes(tensor), made)


def held(tensor: ir.Value) -> ir.Value:
    """The same tensor, which IREE computes before what reads it."""
    behind = make("util.optimization_barrier", [tensor], tensor.type)
    sizes = _dynamic_sizes(tensor)
    # IREE does not look for sizes beyond a barrier.
    return make("flow.tensor.tie_shape", [behind, *sizes], tensor.type) if sizes else behind


def _dynamic_sizes(tensor: ir.Value) -> list[ir.Value]:
    """The sizes of a tensor that its type does not say."""
    type_, index = ir.RankedTensorType(tensor.type), ir.IndexType.get()
    axes = [axis for axis in range(type_.rank) if type_.is_dynamic_dim(axis)]
    numbers = [make("arith.constant", (), index, value=ir.IntegerAttr.get(index, axis)) for axis in axes]
    return [make("tensor.dim", [tensor, number], index) for number in numbers]


def generic(
    inputs: Sequence[ir.Value],
    output: ir.Value,
    maps: Sequence[Sequence[int]],
    compute: Callable[..., ir.Value],
    kinds: Sequence[str] = (),
    **attributes: ir.Attribute,
) -> ir.Value:
    """A loop nest over tensors.

    `maps`: for each tensor, the loop that each of its axes is. `compute`: from an element of each, the new
    element of the output. `kinds`: `parallel`, which is the default, or `reduction`, for each loop.
    """
    count = len(kinds) or output.type.rank
    loops = [f"#linalg.iterator_type<{kind}>" for kind in kinds or ["parallel"] * count]
    dims = [ir.AffineDimExpr.get(axis) for axis in range(count)]
    attributes |= {
        "indexing_maps": ir.ArrayAttr.get(
            [ir.AffineMapAttr.get(ir.AffineMap.get(count, 0, [dims[axis] for axis in axes])) for axes in maps]
        ),
        "iterator_types": ir.ArrayAttr.get([ir.Attribute.parse(loop) for loop in loops]),
        "operandSegmentSizes": ir.DenseI32ArrayAttr.get([len(inputs), 1]),
    }
    tensors = [*inputs, output]
    op = ir.Operation.create("linalg.generic", [output.type], tensors, attributes, regions=1)
    block = op.regions[0].blocks.append(
        *(tensor.type.element_type for tensor in tensors), arg_locs=[op.location] * len(tensors)
    )
    with ir.InsertionPoint(block):
        ir.Operation.create("linalg.yield", operands=[compute(*block.arguments)])
    return op.results[0]
