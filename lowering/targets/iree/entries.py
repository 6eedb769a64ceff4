"""The functions by which a converted module is called: they bind its weights, and take memory for a call."""

from __future__ import annotations

from lowering.ir.errors import EngineError
from lowering.ir.module import Module, Port

SCOPE = "model"
"""The parameter scope of all weights, as `--parameters=model=...` of IREE's own tools has it."""

MAIN, MAIN_IN = "main", "main_in"

_MAIN = f"  util.func public @{MAIN}("
_BODY = "bridge_body"


def check_entry(text: str, module: Module) -> None:
    """Raise EngineError unless the converted module has one entry, `@main`, with the types of the ports."""
    arguments = ", ".join(f"%arg{at}: {_tensor(p)}{_encoding(p)}" for at, p in enumerate(module.inputs))
    results = [_tensor(port) + _encoding(port) for port in module.outputs]
    given = results[0] if len(results) == 1 and "{" not in results[0] else f"({', '.join(results)})"
    entries = [line for line in text.splitlines() if line.startswith("  util.func public ")]
    if entries != [f"{_MAIN}{arguments}) -> {given} {{"]:
        raise EngineError(
            f"iree {module.name}: the module is not to be compiled: its @main has other types than its ports"
        )


def bind_parameters(text: str, module: Module, takes_memory: bool = False) -> str:
    """The converted module with a new `@main` that has only the arguments that come with each call.

    `takes_memory`: and with a `@main_in` that has one more, a `!hal.buffer` for what a call makes and drops.
    Its reflection has the size, in bytes, as `iree.abi.transients.size.constant`. Raises EngineError where
    IREE's text is not of the form this relies on.
    """
    head, opening, body = text.partition("\nmodule")
    if not opening:
        head, opening, body = "", "module", text.removeprefix("module")
    start, brace, rest = body.partition("{\n")
    if not brace or rest.count(_MAIN) != 1:
        raise EngineError(
            f"iree {module.name}: cannot bind the weights: the converted module has no single @main"
        )
    rest = rest.replace(_MAIN, f"  util.func private @{_BODY}(")
    return f"{head}{opening}{start}{brace}{_wrapper(module, takes_memory)}{rest}"


def _wrapper(module: Module, takes_memory: bool) -> str:
    """One parameter global per distinct weight, and the entries that load them and call the body."""
    weights = list(dict.fromkeys(port.weight for port in module.inputs if port.weight is not None))
    globals_, loads, arguments, operands = [], [], [], []
    for index, port in enumerate(module.inputs):
        tensor = _tensor(port)
        if port.weight is None:
            arguments.append(f"%a{index}: {tensor}{_encoding(port)}")
            operands.append(f"%a{index}")
            continue
        number = weights.index(port.weight)
        operands.append(f"%w{number}")
        if f"%w{number}" in operands[:-1]:
            continue
        name = f"@bridge_weight_{number}"
        globals_.append(
            f"  util.global private {name} = "
            f"#flow.parameter.named<{_quote(SCOPE)}::{_quote(port.weight)}> : {tensor}\n"
        )
        loads.append(f"    %w{number} = util.global.load immutable {name} : {tensor}\n")
    inputs = ", ".join(_tensor(port) for port in module.inputs)
    outputs = ", ".join(_tensor(port) for port in module.outputs)
    results = ", ".join(_tensor(port) + _encoding(port) for port in module.outputs)
    count = len(module.outputs)
    values = ", ".join(f"%r#{index}" for index in range(count)) if count > 1 else "%r"
    packed = f"%r:{count}" if count > 1 else "%r"
    body = (
        "".join(loads)
        + f"    {packed} = util.call @{_BODY}({', '.join(operands)}) : ({inputs}) -> ({outputs})\n"
        + f"    util.return {values} : {outputs}\n"
        + "  }\n"
    )
    entries = [f"{_MAIN}{', '.join(arguments)}) -> ({results}) {{\n{body}"]
    if takes_memory:
        arguments.append("%memory: !hal.buffer {iree.abi.transients}")
        entries.append(f"  util.func public @{MAIN_IN}({', '.join(arguments)}) -> ({results}) {{\n{body}")
    return "".join((*globals_, *entries))


def _tensor(port: Port) -> str:
    return f"tensor<{''.join(f'{size}x' for size in port.sizes)}{_element(port)}>"


def _element(port: Port) -> str:
    """IREE's internal types have no sign."""
    if port.dtype.mlir is None:
        raise EngineError(f"iree has no {port.dtype} element type ({port.name})")
    return port.dtype.mlir.removeprefix("u")


def _encoding(port: Port) -> str:
    """Signedness is not in IREE's internal types; this attribute keeps it in the function's interface."""
    if not port.dtype.is_integer or port.dtype.is_signed:
        return ""
    return f" {{iree.abi.encoding = {_tensor(port).replace('i', 'ui')}}}"


def _quote(text: str) -> str:
    """An MLIR string literal."""
    safe = (
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\' else f"\\{byte:02X}" for byte in text.encode()
    )
    return '"' + "".join(safe) + '"'
