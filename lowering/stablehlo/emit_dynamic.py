"""From nodes to one StableHLO module for all sizes: the rules of `emit`, on symbolic sizes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

from lowering.ir.dynamic_module import DynamicModule, DynamicPort, SizeGuard
from lowering.ir.module import Port
from lowering.ir.polynomials import Polynomial, added, polynomial
from lowering.ir.program import Node, Program, Range
from lowering.ir.symbols import Apply, free_symbols
from lowering.ir.types import DType, TensorType
from lowering.ir.unbacked import symbols_of
from lowering.stablehlo import hlo
from lowering.stablehlo.admitted import conditions
from lowering.stablehlo.concrete import port_type
from lowering.stablehlo.emit import NO_REASONS, Emitter
from lowering.stablehlo.entry import (
    CHECKS,
    Env,
    bound_inputs,
    close_module,
    flags,
    open_module,
    result_of,
    weight_names,
)
from lowering.stablehlo.hlo import ir
from lowering.stablehlo.size_values import SizeValues, shown
from lowering.stablehlo.symbolic import Assumptions, SymbolicSizes, term
from lowering.stablehlo.value import Value, constant, shown_size


def emit_dynamic(
    program: Program,
    nodes: Iterable[Node],
    inputs: Sequence[str],
    outputs: Sequence[str],
    example: Mapping[str, int],
    name: str,
    bounds_checks: bool = True,
) -> DynamicModule:
    """Lower these nodes into a portable module for all sizes; the arguments are those of `emit_module`.

    `example`: a value of each symbol, which answers what neither the program nor its ranges tell. Raises
    Unsupported where a node has no lowering, or has one for plain sizes alone.
    """
    nodes = list(nodes)
    values = program.graph.values
    weights = weight_names(program)
    used = symbols_of(program.graph, inputs, nodes)
    assumptions = assumed(program, {symbol: example[symbol] for symbol in used if symbol in example})
    sizes = SymbolicSizes(assumptions)
    with hlo.make_context(), ir.Location.unknown():
        types = [port_type(values[value], sizes) for value in inputs]
        ports = [Port(v, t.dtype, t.shape, weights.get(v)) for v, t in zip(inputs, types, strict=True)]
        places = shown(ports, used)
        ports += [Port(symbol, DType.INT64, ()) for symbol in used if symbol not in places]
        module, entry = open_module(name, ports)
        arguments = [Value(a, p.sizes) for a, p in zip(entry.entry_block.arguments, ports, strict=True)]
        emitter = Emitter(sizes, bounds_checks=bounds_checks, ranges=program.ranges)
        with ir.InsertionPoint(entry.entry_block):
            symbols = {s: shown_size(arguments[at], *how) for s, (at, *how) in places.items()}
            symbols |= {p.name: a.ir for p, a in zip(ports, arguments, strict=True) if p.name in used}
            # All sizes are computed before this operation, which goes in the end.
            head = constant(0, DType.INT64).ir
            place = ir.InsertionPoint(head.owner)
            assumptions.values = SizeValues(place, symbols, assumptions)
            env = bound_inputs(program.graph, inputs, arguments[: len(inputs)])
            emitter.emit_nodes(program.graph, nodes, env)
            results = [result_of(env[value]) for value in outputs]
            checks = emitter.checks.found()
            if checks:
                results.append(flags(list(checks.values())))
        cast(ir.Operation, head.owner).erase()
        code = close_module(module, entry, results)
    names = [*outputs, CHECKS] if checks else outputs
    return DynamicModule(
        code,
        tuple(_port(port, port.name if port.name in used else None) for port in ports),
        tuple(_port(Port(v, r.dtype, r.shape)) for v, r in zip(names, results, strict=True)),
        {symbol: assumptions.ranges[symbol] for symbol in used},
        tuple(SizeGuard(*guard) for guard in assumptions.guards.items()),
        name,
        tuple(checks),
    )


def try_symbolically(
    program: Program, example: Mapping[str, int], known: Mapping[str, str] = NO_REASONS
) -> tuple[dict[str, str], Assumptions]:
    """Run every node's rule on symbolic sizes and keep nothing: the reasons of those that have none, by node
    name, and what was assumed."""
    assumptions = assumed(program, example)
    emitter = Emitter(SymbolicSizes(assumptions), reasons=dict(known), ranges=program.ranges)
    with hlo.make_context(), ir.Location.unknown():
        _, entry = open_module("trial", ())
        with ir.InsertionPoint(entry.entry_block):
            env: Env = {}
            symbols = {name: constant(value, DType.INT64).ir for name, value in example.items()}
            head = constant(0, DType.INT64).ir
            assumptions.values = SizeValues(ir.InsertionPoint(head.owner), symbols, assumptions)
            for value in program.graph.inputs:
                name = getattr(value, "name", None)
                if name is not None:
                    emitter.bind_placeholder(name, program.graph.values[name], env)
            emitter.emit_nodes(program.graph, program.graph.nodes, env)
    assert emitter.reasons is not None
    return emitter.reasons, assumptions


def assumed(program: Program, example: Mapping[str, int]) -> Assumptions:
    """The assumptions of an emission for all sizes: the program's ranges, from 1 on, and its guards."""
    ranges = {name: _range(program.ranges.get(name), value) for name, value in example.items()}
    tensors = (type_ for type_ in program.graph.values.values() if isinstance(type_, TensorType))
    sizes = [size for tensor in tensors for size in tensor.sizes if free_symbols(size) <= example.keys()]
    return Assumptions(ranges, example, list(_zeros(program)), sizes)


def _range(given: Range | None, example: int) -> Range:
    """A size of 0 is a call of its own: a module for all sizes is for those from 1 on."""
    low = given.low if given is not None and given.low is not None else 1
    return Range(min(max(low, 1), example), given.high if given is not None else None)


def _zeros(program: Program) -> Iterator[Polynomial]:
    for condition in conditions(program):
        if isinstance(condition, Apply) and condition.op == "Equality":
            yield added(polynomial(condition.args[0]), polynomial(condition.args[1]), -1)


def _port(port: Port, symbol: str | None = None) -> DynamicPort:
    return DynamicPort(port.name, port.dtype, tuple(map(term, port.sizes)), port.weight, symbol)
