"""The functions by which a converted module is called: they bind its weights, and take memory for a call."""

# IREE's bindings come without stubs of their native part.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Mapping, Sequence

from iree.compiler import ir

from lowering.ir.errors import EngineError
from lowering.ir.module import Module, Port
from lowering.stablehlo.symbolic import is_symbolic
from lowering.targets.iree.converted import Converted, make, operations
from lowering.targets.iree.interface import MAIN, MAIN_IN, SCOPE, is_small

_BODY = "bridge_body"


def check_entry(converted: Converted) -> None:
    """Raise EngineError unless the module has one function, `@main`, with the types of the ports."""
    source = converted.source
    inputs, outputs = source.inputs, source.outputs
    unsaid = _common(len(inputs), len(outputs))
    functions = [{**unsaid, **dict(op.attributes.items())} for op in converted.operations("util.func")]
    if functions != [_interface(MAIN, inputs, outputs)]:
        raise EngineError(
            f"iree {source.name}: the module is not to be compiled: its @main has other types than its ports"
        )


def bind_weights(converted: Converted, memory: bool = False) -> None:
    """Give the module an entry that loads its weights, and has only the arguments that come with a call.

    `memory`: whether to add `@main_in` too, where it pays. It has one argument more, a `!hal.buffer` for the
    intermediate values of a call. Its reflection has the size, in bytes, as
    `iree.abi.transients.size.constant`, or names a function that says it, as `iree.abi.transients.size`.
    """
    weights: dict[str, Port] = {}
    for port in converted.source.inputs:
        if port.weight is not None:
            weights.setdefault(port.weight, port)
    if not weights:
        return
    body = converted.entry
    body.attributes["sym_name"] = ir.StringAttr.get(_BODY)
    body.attributes["sym_visibility"] = ir.StringAttr.get("private")
    has_control_flow = any(op.name.startswith("scf.") and not _is_by_element(op) for op in operations(body))
    with ir.InsertionPoint.at_block_begin(converted.mlir.body):
        symbols = {
            weight: _global(f"bridge_weight_{number}", port)
            for number, (weight, port) in enumerate(weights.items())
        }
        _entry(MAIN, converted.source, symbols)
        if memory and not has_control_flow and not _is_small(converted.source):
            _entry(MAIN_IN, converted.source, symbols)


def _is_by_element(op: ir.Operation) -> bool:
    """Whether an operation is in a loop nest, and so is not the host's."""
    around = op.parent
    while around is not None and not around.name.startswith(("linalg.", "util.func")):
        around = around.parent
    return around is not None and around.name.startswith("linalg.")


def _is_small(module: Module) -> bool:
    """As `is_small`; a module whose sizes a call says is not small."""
    ports = (*module.inputs, *module.outputs)
    return not any(is_symbolic(size) for port in ports for size in port.sizes) and is_small(module)


def drop_memory(converted: Converted) -> bool:
    """Erase `@main_in`. Returns whether there was one."""
    symbols = ir.SymbolTable(converted.mlir.operation)
    if MAIN_IN not in symbols:
        return False
    symbols.erase(symbols[MAIN_IN])
    return True


def _global(name: str, port: Port) -> ir.Attribute:
    """Declare the parameter of a weight. Returns its symbol."""
    assert port.weight is not None
    # IREE writes a key unescaped, in bytecode too, and unescapes it when it reads it.
    key = _escaped(_escaped(port.weight))
    parameter = f'#flow.parameter.named<"{SCOPE}"::"{key}"> : {_tensor(port)}'
    attributes = {
        "sym_name": ir.StringAttr.get(name),
        "sym_visibility": ir.StringAttr.get("private"),
        "type": ir.TypeAttr.get(_type(port)),
        "initial_value": ir.Attribute.parse(parameter),
    }
    ir.Operation.create("util.global", attributes=attributes)
    return ir.FlatSymbolRefAttr.get(name)


def _entry(name: str, source: Module, symbols: Mapping[str, ir.Attribute]) -> None:
    """Make a function that calls the body on its arguments and the weights."""
    given = [port for port in source.inputs if port.weight is None]
    interface = _interface(name, given, source.outputs)
    function = ir.Operation.create("util.func", attributes=interface, regions=1)
    types = interface["function_type"].value
    block = function.regions[0].blocks.append(*types.inputs, arg_locs=[function.location] * len(types.inputs))
    with ir.InsertionPoint(block):
        arguments = iter(block.arguments)
        loaded: dict[str, ir.Value] = {}
        operands: list[ir.Value] = []
        for port in source.inputs:
            if port.weight is not None and port.weight not in loaded:
                how = {"global": symbols[port.weight], "is_immutable": ir.UnitAttr.get()}
                loaded[port.weight] = make("util.global.load", (), _type(port), **how)
            operands.append(next(arguments) if port.weight is None else loaded[port.weight])
        callee = {"callee": ir.FlatSymbolRefAttr.get(_BODY)}
        call = ir.Operation.create("util.call", types.results, operands, callee)
        ir.Operation.create("util.return", operands=call.results)


def _interface(name: str, inputs: Sequence[Port], outputs: Sequence[Port]) -> dict[str, ir.Attribute]:
    """The attributes of a function of these ports; `@main_in` has memory as its last argument."""
    types, said = [_type(port) for port in inputs], [_encoding(port) for port in inputs]
    if name == MAIN_IN:
        types.append(ir.Type.parse("!hal.buffer"))
        said.append(ir.DictAttr.get({"iree.abi.transients": ir.UnitAttr.get()}))
    function = ir.FunctionType.get(types, [_type(port) for port in outputs])
    return _common(len(types), len(outputs)) | {
        "sym_name": ir.StringAttr.get(name),
        "function_type": ir.TypeAttr.get(function),
        "arg_attrs": ir.ArrayAttr.get(said),
        "res_attrs": ir.ArrayAttr.get([_encoding(port) for port in outputs]),
    }


def _common(inputs: int, outputs: int) -> dict[str, ir.Attribute]:
    """The defaults of a function: it is public, and no result is an argument."""
    none = ir.DictAttr.get({})
    own = ir.IntegerAttr.get(ir.IndexType.get(), -1)
    return {
        "sym_visibility": ir.StringAttr.get("public"),
        "tied_operands": ir.ArrayAttr.get([own] * outputs),
        "arg_attrs": ir.ArrayAttr.get([none] * inputs),
        "res_attrs": ir.ArrayAttr.get([none] * outputs),
    }


def _type(port: Port) -> ir.Type:
    return ir.Type.parse(_tensor(port))


def _tensor(port: Port, signs: bool = False) -> str:
    """The type of a port. `signs`: with the signs of integers, which IREE's internal types lack."""
    element = port.dtype.mlir
    if element is None:
        raise EngineError(f"iree has no {port.dtype} element type ({port.name})")
    sizes = "".join(f"{'?' if is_symbolic(size) else size}x" for size in port.sizes)
    return f"tensor<{sizes}{element if signs else element.removeprefix('u')}>"


def _encoding(port: Port) -> ir.DictAttr:
    """The attributes of an argument or a result: a sign that its type lacks."""
    said = _tensor(port, signs=True)
    return ir.Attribute.parse(f"{{iree.abi.encoding = {said}}}" if said != _tensor(port) else "{}")


def _escaped(text: str) -> str:
    """The inside of an MLIR string literal."""
    return "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\' else f"\\{byte:02X}" for byte in text.encode()
    )
