"""A module for all sizes at some sizes: MLIR's own passes make it static, without rules and without torch."""

from __future__ import annotations

from collections.abc import Mapping

from lowering.ir.dynamic_module import DynamicModule
from lowering.ir.module import Module
from lowering.ir.symbols import Scalar
from lowering.stablehlo import hlo
from lowering.stablehlo.errors import LoweringError
from lowering.stablehlo.fold_numbers import fold_numbers
from lowering.stablehlo.hlo import ir
from lowering.stablehlo.value import tensor_type


def refined(module: DynamicModule, sizes: Mapping[str, Scalar]) -> Module:
    """The static module at these sizes, which the module admits. Raises LoweringError."""
    inputs = tuple(port.at(sizes) for port in module.inputs)
    outputs = tuple(port.at(sizes) for port in module.outputs)
    with hlo.make_context() as context, ir.Location.unknown():
        parsed = hlo.deserialize(module.code, context)
        _give_symbols(parsed, module, sizes)
        shown = [port for port, dynamic in zip(inputs, module.inputs, strict=True) if dynamic.symbol is None]
        try:
            hlo.refine(parsed, [str(tensor_type(port.dtype, port.sizes)) for port in shown])
        except ir.MLIRError as error:
            raise LoweringError(f"{module.name} cannot be made static: {error}") from error
        main = hlo.main_of(parsed)
        fold_numbers(main.entry_block)
        code = hlo.serialize_as_it_is(parsed)
        wanted = [tensor_type(port.dtype, port.sizes) for port in outputs]
        if list(main.type.results) != wanted:
            raise LoweringError(f"{module.name} cannot be made static at the sizes {dict(sizes)}")
    return Module(code, tuple(shown), outputs, module.name, module.checks)


def _give_symbols(parsed: ir.Module, module: DynamicModule, sizes: Mapping[str, Scalar]) -> None:
    """Put constants in the places of the arguments that are sizes."""
    places = [at for at, port in enumerate(module.inputs) if port.symbol is not None]
    if not places:
        return
    main = hlo.main_of(parsed)
    block = main.entry_block
    with ir.InsertionPoint.at_block_begin(block):
        for at in reversed(places):
            argument = block.arguments[at]
            value = hlo.whole(int(sizes[str(module.inputs[at].symbol)]))
            argument.replace_all_uses_with(value)
            block.erase_argument(at)
    kept = [type_ for at, type_ in enumerate(main.type.inputs) if at not in places]
    main.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(kept, list(main.type.results)))
