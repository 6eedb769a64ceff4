"""JAX functions as rules: trace, lower, and inline the StableHLO into the module being built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

from lowering.ir.types import DType
from lowering.stablehlo.clone import rewire
from lowering.stablehlo.hlo import current_location, func, ir, make_context, relocate
from lowering.stablehlo.symbolic import Specialised, is_symbolic
from lowering.stablehlo.value import Value, constant, numpy_dtype


def inline_jax(fn: Callable[..., Any], operands: Sequence[Value], static: dict[str, Any]) -> Any:
    """Inline `fn(*operands, **static)` at the current insertion point; see `Context.jax`."""
    types = tuple((value.shape, numpy_dtype(value.dtype).name) for value in operands)
    text, single = _lowered(_Call(fn, types, repr(sorted(static.items())), static))
    module = ir.Module.parse(text)
    main = next(op for op in module.body.operations if isinstance(op, func.FuncOp))
    results = [Value(result) for result in _clone_body(main, [value.ir for value in operands])]
    return results[0] if single else tuple(results)


def inline_for_all_sizes(fn: Callable[..., Any], operands: Sequence[Value], static: dict[str, Any]) -> Any:
    """`inline_jax` of operands of any sizes, traced with a symbol for each size that is known at the call.

    Raises Specialised where jax has no trace for all sizes.
    """
    sizes = {size: f"n{at}" for at, size in enumerate(dict.fromkeys(_symbolic(operands)))}
    types = tuple(
        (tuple(sizes[s] if is_symbolic(s) else s for s in value.shape), numpy_dtype(value.dtype).name)
        for value in operands
    )
    text, single, shapes = _traced(_Call(fn, types, repr(sorted(static.items())), static))
    known = {name: size for size, name in sizes.items()}
    made = [tuple(known[s] if isinstance(s, str) else s for s in shape) for shape in shapes]
    module = ir.Module.parse(text)
    main = next(op for op in module.body.operations if isinstance(op, func.FuncOp))
    symbols = list(main.arg_attrs)[: len(main.arguments) - len(operands)]
    names = [ir.StringAttr(ir.DictAttr(of)["jax.global_constant"]).value for of in symbols]
    values = [*(constant(known[name], DType.INT64) for name in names), *operands]
    results = tuple(map(Value, _clone_body(main, [value.ir for value in values]), made))
    return results[0] if single else results


def _symbolic(operands: Sequence[Value]) -> list[int]:
    return [size for value in operands for size in value.shape if is_symbolic(size)]


@dataclass(frozen=True, slots=True)
class _Call:
    """The key of a trace. Static arguments compare by text: 1, 1.0 and True are equal values."""

    fn: Callable[..., Any]
    types: tuple[tuple[tuple[int | str, ...], str], ...]
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
    return _without_calls(text, "main"), single


@lru_cache(maxsize=512)
def _traced(call: _Call) -> tuple[str, bool, tuple[tuple[int | str, ...], ...]]:
    """`_lowered` of sizes by name, and the sizes of the results."""
    import jax
    from jax import export

    with jax.enable_x64(True):
        scope = export.SymbolicScope()
        shapes = [export.symbolic_shape(",".join(map(str, shape)), scope=scope) for shape, _ in call.types]
        avals = [jax.ShapeDtypeStruct(s, of) for s, (_, of) in zip(shapes, call.types, strict=True)]
        try:
            made = export.export(jax.jit(partial(call.fn, **call.static), keep_unused=True))(*avals)
        except (TypeError, ValueError, jax.errors.InconclusiveDimensionOperation) as error:
            raise Specialised(f"jax does not trace {call.fn.__name__} for all sizes") from error
        text, single = made.mlir_module(), made.out_tree.num_nodes == 1
    sizes = tuple(tuple(s if isinstance(s, int) else str(s) for s in aval.shape) for aval in made.out_avals)
    names = {s for shape, _ in call.types for s in shape}
    if any(isinstance(s, str) and s not in names for shape in sizes for s in shape):
        raise Specialised(f"{call.fn.__name__} has a size that no operand has")
    # The function around it only checks sizes.
    return _without_calls(text, "_wrapped_jax_export_main"), single, sizes


def _without_calls(text: str, entry: str) -> str:
    """A module's one function, with all that it calls in it."""
    with make_context(), ir.Location.unknown():
        module = ir.Module.parse(text)
        functions = {op.name.value: op for op in module.body.operations if isinstance(op, func.FuncOp)}
        _inline_calls(functions[entry].entry_block, functions)
        for name, function in functions.items():
            if name != entry:
                function.operation.erase()
        return str(module)


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
        elif op.operation.name == "stablehlo.composite":
            # An export calls what CHLO has by a name, for consumers without CHLO.
            name = ir.StringAttr(op.attributes["name"]).value
            with ir.InsertionPoint(op):
                made = ir.Operation.create(name, [r.type for r in op.results], list(op.operands))
            for old, new in zip(op.results, made.results, strict=True):
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
