"""The `@main` of a module: its arguments, its results, its beginning and its end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lowering.ir.module import Port
from lowering.ir.program import STORED, Graph, Program
from lowering.ir.types import DType, SymType, ValueType
from lowering.stablehlo import hlo
from lowering.stablehlo.concrete import Sizes, port_type
from lowering.stablehlo.context import Operand
from lowering.stablehlo.data_number import DataNumber
from lowering.stablehlo.errors import RuleError
from lowering.stablehlo.hlo import func, ir
from lowering.stablehlo.value import Value, tensor_type

Env = dict[str, Operand]

# The name of the output that says which checks failed.
CHECKS = "checks"


def weight_names(program: Program) -> dict[str, str]:
    """Full weight names by value name, of the inputs whose bytes never change between calls."""
    written = {spec.destination for spec in program.signature.outputs if spec.destination is not None}
    return {
        spec.name: spec.fqn
        for spec in program.signature.inputs
        if spec.kind in STORED and spec.fqn is not None and spec.fqn not in written
    }


def port_of(name: str, type_: ValueType, sizes: Sizes, weight: str | None) -> Port:
    """An argument of a segment's module."""
    out = port_type(type_, sizes)
    return Port(name, out.dtype, out.shape, weight)


def bound_inputs(graph: Graph, names: Sequence[str], arguments: Iterable[Value]) -> Env:
    """The arguments of a module as rules take them: tensors, and numbers from data."""
    return {
        name: DataNumber(value) if isinstance(graph.values[name], SymType) else value
        for name, value in zip(names, arguments, strict=True)
    }


def result_of(made: Operand) -> Value:
    """A value of a program as a result of its module."""
    return made if isinstance(made, Value) else made.value


def flags(failed: Sequence[Value]) -> Value:
    """0-d bools as one tensor."""
    rows = [Value(hlo.stablehlo.reshape(tensor_type(DType.BOOL, (1,)), value.ir)).ir for value in failed]
    return Value(hlo.stablehlo.concatenate(rows, 0))


def open_module(name: str, ports: Sequence[Port]) -> tuple[ir.Module, func.FuncOp]:
    """A module with an empty public `@main` taking these ports. Sizes of theirs may be symbolic."""
    module = ir.Module.create()
    module.operation.attributes["sym_name"] = ir.StringAttr.get(name)
    types = [tensor_type(port.dtype, port.sizes) for port in ports]
    with ir.InsertionPoint(module.body):
        entry = func.FuncOp("main", ir.FunctionType.get(types, []))
        entry.add_entry_block([hlo.location(port.name, ()) for port in ports])
    return module, entry


def close_module(module: ir.Module, entry: func.FuncOp, results: Sequence[Value]) -> bytes:
    """The portable bytecode of a module whose `@main` returns these. Raises RuleError if it is invalid."""
    with ir.InsertionPoint(entry.entry_block):
        func.ReturnOp([value.ir for value in results])
    entry.attributes["function_type"] = ir.TypeAttr.get(
        ir.FunctionType.get(list(entry.type.inputs), [value.ir.type for value in results])
    )
    _verify(module)
    hlo.legalise_chlo(module)
    return hlo.serialize(module)


def _verify(module: ir.Module) -> None:
    try:
        module.operation.verify()
    except ir.MLIRError as error:
        raise RuleError(f"a rule emitted invalid StableHLO: {error}") from error
