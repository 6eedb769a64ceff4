"""Move what depends on weights alone into a module of its own, which runs once, when a segment is loaded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lowering.ir.module import Module, Port
from lowering.stablehlo import hlo
from lowering.stablehlo.clone import rewire
from lowering.stablehlo.hlo import func, ir
from lowering.stablehlo.passes.parsed import ParsedModule, nbytes
from lowering.stablehlo.value import Value, tensor_type

# Results of at most so many bytes are kept whatever they grew from.
_SMALL = 1 << 16


def rewrite(parsed: ParsedModule) -> None:
    """Two modules from one: `load` has the results that the rest reads; see `_sources` for the rest. Weights
    that nothing reads any more are no longer inputs."""
    module, entry = parsed.source, parsed.entry
    operations = list(entry.entry_block.operations)
    weights = {
        argument: port
        for argument, port in zip(entry.arguments, module.inputs, strict=True)
        if port.weight is not None
    }
    early = _early(operations, set(weights))
    wanted = _read_by_others(operations, early)
    results = dict(zip(wanted, _fresh_names(module, len(wanted)), strict=True))
    load = _load(module, operations, weights, results) if wanted else None
    inputs, parsed.mlir = _rest(module, entry, operations, results)
    parsed.source = replace(module, inputs=inputs, load=load)


def _early(operations: list[Any], weights: set[ir.Value]) -> dict[ir.Value, int]:
    """The values that depend on weights, and not on a call's arguments; with the bytes of the weights behind
    each."""
    early: dict[ir.Value, int] = {}
    constants: set[ir.Value] = set()
    for op in operations:
        operands = list(op.operation.operands)
        results = list(op.operation.results)
        if not all(o in weights or o in early or o in constants for o in operands):
            continue
        if not results or _captures(op):
            continue
        if all(operand in constants for operand in operands):
            constants |= set(results)
            continue
        behind = sum(early.get(o) or nbytes(o) for o in operands if o not in constants)
        early.update(dict.fromkeys(results, behind))
    return early


def _captures(op: Any) -> bool:
    """Whether a region of an operation reads values from outside."""
    inside: set[ir.Value] = set()
    read: set[ir.Value] = set()
    for region in op.operation.regions:
        for block in region.blocks:
            inside |= set(block.arguments)
            for inner in block.operations:
                if list(inner.operation.regions):
                    return True
                read |= set(inner.operation.operands)
                inside |= set(inner.operation.results)
    return bool(read - inside)


def _read_by_others(operations: list[Any], early: dict[ir.Value, int]) -> list[ir.Value]:
    """The early values that what is not early reads, in order; behind what engines do in passing."""
    makers = {result: op for op in operations for result in op.operation.results}
    wanted: dict[ir.Value, None] = {}
    for op in operations:
        if any(result in early for result in op.operation.results):
            continue
        for operand in _reads(op):
            wanted.update(dict.fromkeys(_sources(operand, early, makers)))
    return list(wanted)


def _sources(
    value: ir.Value, early: dict[ir.Value, int], makers: dict[ir.Value, Any], spread: bool = False
) -> list[ir.Value]:
    """The early values behind a value that are worth keeping. A value made from them is free at its reader (a
    reshape, a broadcast, a broadcast slice), or larger than its weights."""
    if value not in early:
        return []
    name = makers[value].operation.name
    spread = spread or name == "stablehlo.broadcast_in_dim"
    free = name in _FREE or (spread and name == "stablehlo.slice")
    if not free and nbytes(value) <= max(early[value], _SMALL):
        return [value]
    operands = makers[value].operation.operands
    return [source for operand in operands for source in _sources(operand, early, makers, spread)]


_FREE = frozenset({"stablehlo.reshape", "stablehlo.broadcast_in_dim"})


def _fresh_names(module: Module, count: int) -> list[str]:
    """Names that no weight has."""
    taken = {port.weight for port in module.inputs} | {port.name for port in module.inputs}
    prefix = "hoisted"
    while any(name is not None and name.startswith(prefix) for name in taken):
        prefix += "_"
    return [f"{prefix}_{index}" for index in range(count)]


def _load(
    module: Module,
    operations: list[Any],
    weights: dict[ir.Value, Port],
    results: dict[ir.Value, str],
) -> Module:
    needed = _behind(operations, set(results))
    used = [argument for argument in weights if argument in needed]
    members = [op for op in operations if any(result in needed for result in op.operation.results)]
    made = _cloned("load", used, members, list(results))
    _constants_before_use(made)
    made.operation.verify()
    outputs = tuple(Port(name, Value(v).dtype, Value(v).shape) for v, name in results.items())
    inputs = tuple(weights[argument] for argument in used)
    return Module(hlo.serialize_as_it_is(made), inputs, outputs, f"{module.name}_load")


def _rest(
    module: Module, entry: func.FuncOp, operations: list[Any], results: dict[ir.Value, str]
) -> tuple[tuple[Port, ...], ir.Module]:
    """The inputs and the module without what `load` makes: new inputs come last, weights that nothing reads
    go."""
    returned = list(operations[-1].operation.operands)
    needed = _behind(operations, set(returned), stop=set(results))
    kept = [
        (argument, port)
        for argument, port in zip(entry.arguments, module.inputs, strict=True)
        if port.weight is None or argument in needed
    ]
    made = [value for value in results if value in needed]
    ports = [port for _, port in kept]
    ports += [Port(results[v], Value(v).dtype, Value(v).shape, weight=results[v]) for v in made]
    stop = set(results)
    members = [
        op for op in operations[:-1] if any(r in needed and r not in stop for r in op.operation.results)
    ]
    return tuple(ports), _cloned("main", [*(argument for argument, _ in kept), *made], members, returned)


def _behind(operations: list[Any], values: set[ir.Value], stop: set[ir.Value] | None = None) -> set[ir.Value]:
    """The values that these depend on, themselves included; not what lies behind those in `stop`."""
    needed = set(values)
    for op in reversed(operations):
        made = [result for result in op.operation.results if result in needed]
        if made and not (stop and all(result in stop for result in made)):
            needed |= _reads(op)
    return needed


def _reads(op: Any) -> set[ir.Value]:
    """Every value that an operation reads, in its regions too."""
    found = set(op.operation.operands)
    for region in op.operation.regions:
        for block in region.blocks:
            for inner in block.operations:
                found |= _reads(inner)
    return found


def _cloned(name: str, arguments: list[ir.Value], members: list[Any], results: list[ir.Value]) -> ir.Module:
    """A module whose `@main` takes these values, does these operations and returns these results."""
    module = ir.Module.create()
    module.operation.attributes["sym_name"] = ir.StringAttr.get(name)
    types = [tensor_type(Value(value).dtype, Value(value).shape) for value in arguments]
    with ir.InsertionPoint(module.body):
        entry = func.FuncOp("main", ir.FunctionType.get(types, [value.type for value in results]))
        block = entry.add_entry_block()
    values: dict[ir.Value, ir.Value] = dict(zip(arguments, block.arguments, strict=True))
    with ir.InsertionPoint(block):
        for op in members:
            copy = op.operation.clone()
            rewire(copy, values)
            values.update(zip(op.operation.results, copy.results, strict=True))
        func.ReturnOp([values[value] for value in results])
    return module


def _constants_before_use(module: ir.Module) -> None:
    """Move each constant to where it is first read.

    A module that was emitted and one that was refined have theirs in other orders. Their parts at load are
    the same now, and the weights that they make are shared.
    """
    block = hlo.main_of(module).entry_block
    moved: set[ir.Value] = set()
    for op in list(block.operations):
        for operand in op.operands:
            owner = operand.owner
            if operand not in moved and getattr(owner, "name", "") == "stablehlo.constant":
                owner.move_before(op.operation)
                moved.add(operand)
