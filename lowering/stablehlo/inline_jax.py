"""JAX functions as rules: trace, lower, and inline the StableHLO into the module being built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

from lowering.stablehlo.clone import rewire
from lowering.stablehlo.hlo import current_location, func, ir, make_context, relocate
from lowering.stablehlo.value import Shape, Value, numpy_dtype


def inline_jax(fn: Callable[..., Any], operands: Sequence[Value], static: dict[str, Any]) -> Any:
    """Inline `fn(*operands, **static)` at the current insertion point; see `Context.jax`."""
    types = tuple((value.shape, numpy_dtype(value.dtype).name) for value in operands)
    text, single = _lowered(_Call(fn, types, repr(sorted(static.items())), static))
    module = ir.Module.parse(text)
    main = next(op for op in module.body.operations if isinstance(op, func.FuncOp))
    results = [Value(result) for result in _clone_body(main, [value.ir for value in operands])]
    return results[0] if single else tuple(results)


@dataclass(frozen=True, slots=True)
class _Call:
    """The key of a trace. Static arguments compare by text: 1, 1.0 and True are equal values."""

    fn: Callable[..., Any]
    types: tuple[tuple[Shape, str], ...]
    text: str
    static: dict[str, Any] = field(compare=False)


@lru_cache(maxsize=512)
def _lowered(call: _Call) -> tuple[str, bool]:
    """StableHLO text of a JAX function on these types, and whether it returns one bare array."""
    import jax

    with jax.enable_x64(True):
        avals = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in call.types]
        lowered = jax.jit(partial(call.fn, **call.static), keep_unused=True).lower(*avals)
        single = not isinstance(lowered.out_info, tuple | list)
        text = lowered.as_text("stablehlo")
    with make_context(), ir.Location.unknown():
        module = ir.Module.parse(text)
        functions = {op.name.value: op for op in module.body.operations if isinstance(op, func.FuncOp)}
        _inline_calls(functions["main"].entry_block, functions)
        for name, function in functions.items():
            if name != "main":
                function.operation.erase()
        return str(module), single


def _inline_calls(block: ir.Block, functions: dict[str, func.FuncOp]) -> None:
    """Replace every call in a block, and in the regions below it, by the callee's body."""
    for op in list(block.operations):
        if isinstance(op, func.CallOp):
            callee = functions[ir.FlatSymbolRefAttr(op.attributes["callee"]).value]
            _inline_calls(callee.entry_block, functions)
            with ir.InsertionPoint(op):
                results = _clone_body(callee, list(op.operands))
            for old, new in zip(op.results, results, strict=True):
                old.replace_all_uses_with(new)
            op.operation.erase()
        else:
            for region in op.regions:
                for inner in region.blocks:
                    _inline_calls(inner, functions)


def _clone_body(function: func.FuncOp, arguments: Sequence[ir.Value]) -> list[ir.Value]:
    """Clone a function's body at the insertion point; returns what it returns."""
    place = current_location()
    values: dict[ir.Value, ir.Value] = dict(zip(function.arguments, arguments, strict=True))
    for op in function.entry_block.operations:
        if isinstance(op, func.ReturnOp):
            return [values[operand] for operand in op.operands]
        clone = op.operation.clone()
        rewire(clone, values)
        # A parsed text has the lines of that text for locations.
        relocate(clone, place)
        values.update(zip(op.results, clone.results, strict=True))
    raise AssertionError("a function without a return")
