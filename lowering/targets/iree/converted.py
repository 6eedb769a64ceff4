"""A module between IREE's input conversion and the rest of its compiler: what the passes of IREE change."""

# IREE's bindings come without stubs of their native part.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from lowering.ir.errors import EngineError
from lowering.ir.module import Module
from lowering.targets.diagnostics import first_line

try:
    from iree.compiler import ir
except ImportError:
    raise EngineError("iree's compiler is not installed: python -m pip install iree-base-compiler") from None

# Constants of more elements than this are shown without them.
_SHOWN_ELEMENTS = 16

# Operations of linalg that say what they compute. All others have a region that their name implies.
_SPELLED = frozenset(("linalg.generic", "linalg.map", "linalg.reduce"))

# Dialects whose operations make an element of several, but for these.
_MIXING = ("linalg.", "iree_linalg_ext.", "scf.")
_BY_ELEMENT = frozenset(f"linalg.{name}" for name in "broadcast fill index map transpose yield".split())


@dataclass
class Converted:
    """What a pass changes in place. `source`: the module that was converted. `mlir`: what it is now, in the
    current context."""

    source: Module
    mlir: ir.Module

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
    """All operations below one, each before those of its regions, which are left out where a name implies
    them."""
    found: list[ir.Operation] = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        found.append(op)
        implied = op.name.startswith("linalg.") and op.name not in _SPELLED
        return ir.WalkResult.SKIP if implied else ir.WalkResult.ADVANCE

    root.walk(visit, ir.WalkOrder.PRE_ORDER)
    return found[1:]


def name_of(function: ir.Operation) -> str:
    """The symbol that a function is."""
    return function.attributes["sym_name"].value


def block_of(function: ir.Operation) -> ir.Block:
    """The first block of a function."""
    return function.regions[0].blocks[0]


def _is_by_element(op: ir.Operation) -> bool:
    return op.name in _BY_ELEMENT or (op.name == "linalg.generic" and is_parallel(op))


def is_parallel(generic: ir.Operation) -> bool:
    """Whether an operation of linalg computes each element by itself."""
    return all("parallel" in str(kind) for kind in generic.attributes["iterator_types"])


# ------------------------------------------------------------------ at the current insertion point


def make(
    name: str, operands: Sequence[ir.Value], type_: ir.Type | None = None, **attributes: ir.Attribute
) -> ir.Value:
    """The result of a new operation; its type follows from the operands where it is not given."""
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
