"""Modules through passes.

`EXPECTTEST_ACCEPT=1 python -m pytest tests/lowering/stablehlo/passes` writes expected texts anew.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from textwrap import wrap

import numpy as np
import torch
from torch import nn

import bridge
from lowering.host.weights import materialise
from lowering.ir.dynamic_module import DynamicModule, DynamicPort
from lowering.ir.module import Module, Port
from lowering.ir.program import Range
from lowering.ir.symbols import Symbol
from lowering.ir.types import DType
from lowering.stablehlo import hlo
from lowering.stablehlo.hlo import ir
from lowering.stablehlo.passes import StableHloPass, stablehlo_pass, stablehlo_pipeline
from lowering.stablehlo.passes.parsed import ParsedModule, rewritten
from lowering.stablehlo.passes.parsed_dynamic import parsed_dynamic
from lowering.stablehlo.value import tensor_type
from lowering.targets import get_engine
from lowering.targets.target import TargetOptions

CLEAN_UP = (stablehlo_pass("erase-dead-operations"), stablehlo_pass("merge-equal-operations"))


def through(module: Module, *passes: StableHloPass) -> Module:
    """The module after some passes and the clean-up; `weight-hoisting`, if given, comes last."""
    hoisting = [item for item in passes if item.name == "weight-hoisting"]
    others = [item for item in passes if item not in hoisting]
    return rewritten(module, stablehlo_pipeline("test", *others, *CLEAN_UP, *hoisting))


def operations(module: Module) -> Counter[str]:
    """How many StableHLO operations of each name a module has."""
    return Counter(re.findall(r"stablehlo\.(\w+)", hlo.text_of(module.code)))


def results(module: Module, lowered: bridge.Lowered, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """What XLA computes of a module, with the weights of the program that it is of."""
    engine, target = get_engine("xla"), TargetOptions()
    canonical = lowered.module(0).inputs
    weights = materialise(lowered.weights, [p.weight for p in canonical if p.weight is not None])
    run = engine.load(engine.compile(module, target), module, target, weights)
    return [engine.to_torch(h).clone() for h in run([engine.from_tensor(x, target) for x in inputs])]


def same_results(model: nn.Module, inputs: tuple[torch.Tensor, ...], *passes: StableHloPass) -> Counter[str]:
    """The operations of a model's module after passes, whose results are those of the canonical one."""
    lowered = bridge.lower(model, inputs)
    canonical = lowered.module(0)
    made = through(canonical, *passes)
    for got, want in zip(results(made, lowered, inputs), results(canonical, lowered, inputs), strict=True):
        torch.testing.assert_close(got, want)
    return operations(made)


def text_through(text: str, *passes: StableHloPass) -> str:
    """MLIR text after some passes and nothing else; arguments with `bridge.weight` are weights."""
    with hlo.make_context() as context, ir.Location.unknown():
        context.allow_unregistered_dialects = True
        parsed = ParsedModule(Module(b"", (), ()), ir.Module.parse(text))
        given, made = parsed.entry.arguments, parsed.entry.type.results
        marks = [*parsed.entry.arg_attrs] if "arg_attrs" in parsed.entry.attributes else [{}] * len(given)
        inputs = tuple(
            _port(f"arg{at}", argument.type, f"arg{at}" if "bridge.weight" in mark else None)
            for at, (argument, mark) in enumerate(zip(given, marks, strict=True))
        )
        outputs = tuple(_port(f"out{at}", type_, None) for at, type_ in enumerate(made))
        parsed.source = Module(b"", inputs, outputs)
        pipeline = stablehlo_pipeline("test", *passes)
        parsed = pipeline.run(parsed)
        parsed.verify()
        return wrapped(parsed.text())


def dynamic_through(text: str, shapes: Sequence[Sequence[str | int]], *passes: StableHloPass) -> str:
    """MLIR text of a module for all sizes after some passes. `shapes`: the sizes of each argument, symbols by
    name; each is from 1 to 64."""
    with parsed_dynamic(dynamic_module(text, shapes)) as parsed:
        stablehlo_pipeline("test", *passes, *CLEAN_UP).run(parsed)
        parsed.sizes.clear()
        parsed.verify()
        return wrapped(parsed.text())


def dynamic_module(
    text: str, shapes: Sequence[Sequence[str | int]], made: Sequence[Sequence[str | int]] = ()
) -> DynamicModule:
    """MLIR text as a module for all sizes. `shapes`: as of `dynamic_through`; `made`: those of results."""
    with hlo.make_context(), ir.Location.unknown():
        module = ir.Module.parse(text)
        main = hlo.main_of(module).type
        inputs = _dynamic_ports("arg", main.inputs, shapes)
        outputs = _dynamic_ports("out", list(main.results)[: len(made)], made)
        names = sorted({size for shape in shapes for size in shape if isinstance(size, str)})
        ranges = {name: Range(1, 64) for name in names}
        return DynamicModule(hlo.serialize(module), inputs, outputs, ranges, name="text")


def _dynamic_ports(
    name: str, types: Sequence[ir.Type], shapes: Sequence[Sequence[str | int]]
) -> tuple[DynamicPort, ...]:
    return tuple(
        DynamicPort(
            f"{name}{at}",
            hlo.dtype_of(ir.RankedTensorType(type_).element_type),
            tuple(Symbol(size) if isinstance(size, str) else size for size in shape),
        )
        for at, (type_, shape) in enumerate(zip(types, shapes, strict=True))
    )


def evaluated(text: str, inputs: Sequence[np.ndarray], *passes: StableHloPass) -> list[np.ndarray]:
    """What StableHLO's reference interpreter computes of MLIR text after some passes."""
    with hlo.make_context() as context, ir.Location.unknown():
        module = ir.Module.parse(text_through(text, *passes), context)
        attributes = [hlo.dense(x, tensor_type(DType(x.dtype.name), x.shape)) for x in inputs]
        return [np.array(made) for made in hlo.stablehlo.eval_module(module, attributes)]


def module_of(text: str) -> Module:
    """MLIR text as a module, all of whose arguments come with a call."""
    with hlo.make_context(), ir.Location.unknown():
        parsed = ParsedModule(Module(b"", (), ()), ir.Module.parse(text))
        given, made = parsed.entry.arguments, parsed.entry.type.results
        inputs = tuple(_port(f"arg{at}", argument.type, None) for at, argument in enumerate(given))
        outputs = tuple(_port(f"out{at}", type_, None) for at, type_ in enumerate(made))
        return Module(hlo.serialize(parsed.mlir), inputs, outputs, "text")


def results_of(module: Module, engine_name: str, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What an engine computes of a module without weights, as it is."""
    engine, options = get_engine(engine_name), TargetOptions()
    run = engine.load(engine.compile(module, options), module, options, {})
    return [np.array(engine.to_numpy(h)) for h in run([engine.from_tensor(x, options) for x in inputs])]


_SCATTER = """
func.func public @main(%x: tensor<OPERANDxTYPE>, %i: tensor<INDICESxINTEGER>, %u: tensor<UPDATESxTYPE>)
    -> tensor<OPERANDxTYPE> {
  %0 = "stablehlo.scatter"(%x, %i, %u) <{scatter_dimension_numbers = #stablehlo.scatter<NUMBERS>}> ({
    ^bb0(%a: tensor<TYPE>, %b: tensor<TYPE>):
      %1 = stablehlo.add %a, %b : tensor<TYPE>
      stablehlo.return %1 : tensor<TYPE>
    }) : (tensor<OPERANDxTYPE>, tensor<INDICESxINTEGER>, tensor<UPDATESxTYPE>) -> tensor<OPERANDxTYPE>
  return %0 : tensor<OPERANDxTYPE>
}
"""


def scatter(
    operand: str, indices: str, updates: str, numbers: str, element: str = "f32", integer: str = "i64"
) -> str:
    """A module that adds updates where indices say; sizes as `5x3`."""
    values = {"OPERAND": operand, "INDICES": indices, "UPDATES": updates, "NUMBERS": numbers,
              "TYPE": element, "INTEGER": integer}  # fmt: skip
    text = _SCATTER
    for name, value in values.items():
        text = text.replace(name, value)
    return text


def wrapped(text: str) -> str:
    """Text whose lines fit into this repository's."""
    lines: list[str] = []
    for line in text.splitlines():
        indent = " " * (len(line) - len(line.lstrip()))
        lines += wrap(
            line, 100, subsequent_indent=f"{indent}    ", break_long_words=False, break_on_hyphens=False
        ) or [""]
    return "\n".join(lines) + "\n"


def _port(name: str, type_: ir.Type, weight: str | None) -> Port:
    tensor = ir.RankedTensorType(type_)
    return Port(name, hlo.dtype_of(tensor.element_type), tuple(tensor.shape), weight)
