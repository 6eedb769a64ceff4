"""A module for all sizes while passes rewrite it: shapes of values are at hand, and sizes as values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lowering.ir.dynamic_module import DynamicModule
from lowering.ir.errors import EngineError
from lowering.ir.module import Module
from lowering.ir.symbols import Symbol, to_text
from lowering.ir.types import DType
from lowering.stablehlo import hlo
from lowering.stablehlo.hlo import ir
from lowering.stablehlo.index_values import IndexValues, index_in, read_index
from lowering.stablehlo.passes import StableHloPipeline
from lowering.stablehlo.passes.parsed import ParsedModule
from lowering.stablehlo.recovered_sizes import RecoveredSizes, interface
from lowering.stablehlo.size_facts import OWN
from lowering.stablehlo.size_values import SizeValues, shown
from lowering.stablehlo.symbolic import Assumptions, Specialised
from lowering.stablehlo.value import Value, constant, recovering, shown_size


@dataclass
class ParsedDynamic(ParsedModule):
    """A `ParsedModule` whose ports have symbolic sizes.

    `sizes`: the shapes of its values. `indices`: sizes as values of type `index`.
    """

    sizes: RecoveredSizes
    indices: IndexValues


@contextmanager
def parsed_dynamic(module: DynamicModule) -> Iterator[ParsedDynamic]:
    """A module in a context of its own. Raises EngineError where its sizes are not understood."""
    example = {name: _one_of(*range_) for name, range_ in module.ranges.items()}
    assumptions = Assumptions(module.ranges, example)
    source = interface(module, assumptions)
    with hlo.make_context() as context, ir.Location.unknown():
        context.allow_unregistered_dialects = True
        mlir = hlo.deserialize(module.code, context)
        entry = hlo.main_of(mlir).entry_block
        symbols = [None if port.symbol is None else Symbol(port.symbol) for port in module.inputs]
        numbers = [None if symbol is None else assumptions.size(symbol) for symbol in symbols]
        sizes = RecoveredSizes(entry, source.inputs, numbers, assumptions)
        with recovering(sizes.of):
            try:
                sizes.stamp_all()
                with ir.InsertionPoint.at_block_begin(entry):
                    # Sizes of each kind are computed before one of these, which nothing reads.
                    first, second = (ir.InsertionPoint(constant(0, DType.INT64).ir.owner) for _ in range(2))
                with first:
                    indices = IndexValues(first, _indices(module, source, entry), assumptions)
                with second:
                    assumptions.values = SizeValues(second, _numbers(module, source, entry), assumptions)
                yield ParsedDynamic(source, mlir, sizes, indices)
            except Specialised as error:
                raise EngineError(f"no code for all sizes: {error}") from None
        # The emission has excluded the sizes that eager refuses.
        asked = {condition for condition, site in assumptions.guards.items() if site != OWN}
        asked -= {guard.condition for guard in module.guards}
        if asked:
            raise EngineError(f"no code for all sizes: a pass asks {min(map(to_text, asked))}")


def rewritten_dynamic(module: DynamicModule, pipeline: StableHloPipeline) -> tuple[bytes, Module]:
    """A module after a pipeline, as text with locations, and its ports with symbolic sizes.

    Raises EngineError, with what has no form for all sizes. A fault of a pass is one too, since there are
    other ways to run the module.
    """
    with parsed_dynamic(module) as parsed:
        try:
            pipeline.run(parsed)
        except (EngineError, Specialised):
            raise
        except Exception as error:
            raise EngineError(f"a pass fails at such sizes: {type(error).__name__}: {error}") from error
        parsed.sizes.clear()
        parsed.verify()
        return str(parsed.mlir.operation.get_asm(enable_debug_info=True)).encode(), parsed.source


def refused(op: ir.Operation, why: str) -> EngineError:
    """The error of an operation that has no form for all sizes."""
    return EngineError(f"{op.name} has no code for all sizes: {why}")


def is_dynamic(value: ir.Value) -> bool:
    """Whether sizes of a tensor are known only at the call."""
    return not ir.RankedTensorType(value.type).has_static_shape


def _one_of(low: float | None, high: float | None) -> int:
    """A size of a range."""
    return int(low) if low is not None else int(high) if high is not None else 1


def _numbers(module: DynamicModule, source: Module, entry: ir.Block) -> dict[str, ir.Value]:
    """The symbols as 0-d tensors of int64."""
    arguments = list(entry.arguments)
    ports = source.inputs
    found = {
        name: shown_size(Value(arguments[at], ports[at].sizes), *how)
        for name, (at, *how) in shown(ports, list(module.ranges)).items()
    }
    return found | {
        port.symbol: argument
        for port, argument in zip(module.inputs, arguments, strict=True)
        if port.symbol is not None
    }


def _indices(module: DynamicModule, source: Module, entry: ir.Block) -> dict[str, ir.Value]:
    """The symbols as values of type `index`."""
    arguments = list(entry.arguments)
    found = {
        name: read_index(arguments[at], *how)
        for name, (at, *how) in shown(source.inputs, list(module.ranges)).items()
    }
    return found | {
        port.symbol: index_in(argument)
        for port, argument in zip(module.inputs, arguments, strict=True)
        if port.symbol is not None
    }
