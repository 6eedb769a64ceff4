"""`python -m lowering.stablehlo.vetting`: a stranger's module read by a process that nobody misses.

MLIR's reader of bytecode is native code that some files crash. A child reads the bytes, checks that they are
a module of Bridge's with its ports' types, and writes them anew. Its parent reads what it wrote. On standard
input: a line of JSON (`[[inputs], [outputs]]`, each port as `[dtype, sizes]`), then the bytecode. On standard
output: the bytecode. Exit status 1 with the end of a sentence on standard error for a refused module. Some
bytes that are not a module keep the reader busy for good: SIGXCPU ends the child then.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

from lowering.ir.bytecode import OPERATIONS, check_operations
from lowering.ir.types import DType
from lowering.stablehlo import hlo
from lowering.stablehlo.hlo import func, ir

_FUNCTION = frozenset(("function_type", "sym_name", "sym_visibility", "arg_attrs", "res_attrs"))


#: Seconds of the processor that a module may take, and that each MiB of it may take beyond them. A MiB of
#: small operations takes some 2.5.
SECONDS, SECONDS_OF_MIB = 4, 16


def main() -> None:
    ports = json.loads(sys.stdin.buffer.readline())
    code = sys.stdin.buffer.read()
    # Python and what is imported have taken theirs.
    most = 1 + int(time.process_time() + SECONDS + SECONDS_OF_MIB * len(code) / (1 << 20))
    resource.setrlimit(resource.RLIMIT_CPU, (most, most + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        sys.stdout.buffer.write(rewritten(code, *ports))
    except ValueError as error:
        sys.exit(" ".join(str(error).split()))


def rewritten(code: bytes, inputs: list[Any], outputs: list[Any]) -> bytes:
    """The module, written anew. Raises ValueError, the end of a sentence, for one that Bridge does not emit.

    `inputs`, `outputs`: the dtype's name and the sizes of each argument and result of `@main`.
    """
    check_operations(code)
    with hlo.make_context() as context, ir.Location.unknown():
        try:
            module = hlo.deserialize(code, context)
            module.operation.verify()
        except Exception as error:  # jax raises errors of several kinds for bytes that are not a module
            raise ValueError(f"it does not parse: {str(error).splitlines()[0][:200]}") from None
        try:
            entry = _checked_entry(module)
            _check_ports("takes", entry.type.inputs, inputs)
            _check_ports("gives", entry.type.results, outputs)
            return hlo.serialize(module)
        except RuntimeError as error:  # of a text that is not UTF-8, say
            raise ValueError(f"it does not parse: {str(error)[:200]}") from None


def _checked_entry(module: ir.Module) -> func.FuncOp:
    """The one function `@main`, of StableHLO, with nothing beside it that speaks to a compiler."""
    functions = list(module.body.operations)
    entry = functions[0] if len(functions) == 1 else None
    if not isinstance(entry, func.FuncOp) or entry.name.value != "main" or entry.is_external:
        raise ValueError("it is not one function @main")
    if extra := sorted(set(module.operation.attributes) - {"sym_name"}):
        raise ValueError(f"it has the attribute {extra[0]!r}")
    if extra := sorted(set(entry.attributes) - _FUNCTION):
        raise ValueError(f"its @main has the attribute {extra[0]!r}")
    for name in ("arg_attrs", "res_attrs"):
        if name in entry.attributes and not set(str(entry.attributes[name])) <= set("[{}, ]"):
            raise ValueError("an argument or a result of its @main has attributes")
    for block in entry.body.blocks:
        _check_block(block)
    return entry


def _check_block(block: ir.Block) -> None:
    for op in block.operations:
        dialect, _, name = op.operation.name.partition(".")
        if (dialect, name) != ("func", "return") and (dialect != "stablehlo" or name not in OPERATIONS):
            raise ValueError(f"it has the operation {op.operation.name!r:.100}, which Bridge does not emit")
        if extra := [name for name in op.operation.attributes if "." in name]:
            raise ValueError(f"an operation {dialect}.{name} has the attribute {extra[0]!r:.100}")
        for result in op.operation.results:
            if not _is_static(result.type):
                raise ValueError(f"an operation {dialect}.{name} gives {result.type!s:.100}")
        for region in op.operation.regions:
            for inner in region.blocks:
                _check_block(inner)


def _is_static(type_: ir.Type) -> bool:
    return isinstance(type_, ir.RankedTensorType) and type_.has_static_shape and type_.encoding is None


def _check_ports(verb: str, types: list[ir.Type], ports: list[Any]) -> None:
    if len(types) != len(ports):
        raise ValueError(f"its @main {verb} {len(types)} tensors, and its ports are {len(ports)}")
    for number, (found, (dtype, sizes)) in enumerate(zip(types, ports, strict=True)):
        element = hlo.element_type(DType(dtype))
        if element is None or found != ir.RankedTensorType.get(sizes, element):
            raise ValueError(
                f"its @main {verb} {found!s:.100} as number {number}, and its port says {sizes} of {dtype}"
            )


if __name__ == "__main__":
    main()
