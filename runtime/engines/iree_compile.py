"""IREE's compiler, run as a child process: its crashes and hangs become errors, not ours.

A module is compiled in two steps: IREE's own input conversion turns the portable bytecode into text, and the
text, with two changes, is compiled. The canonical module takes its weights as arguments, but IREE packs
weights once, at load, only if they are parameters: the text gets a new `@main` which loads them from
parameter globals and calls the old one. And roundings to bfloat16 are protected.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lowering.ir.types import DType
from runtime.engine import EngineError, Module, Port, Target
from runtime.engines.diagnostics import first_error
from runtime.engines.iree_arguments import protect_arguments
from runtime.engines.iree_inserts import protect_updates
from runtime.engines.iree_limits import check_limits

SCOPE = "model"
"""The parameter scope of all weights, as `--parameters=model=...` of IREE's own tools has it."""

TIMEOUT_S = 3600.0

_INPUT_FLAGS = (
    "--iree-input-type=stablehlo",
    "--iree-input-demote-f64-to-f32=false",
    "--iree-input-demote-i64-to-i32=false",
)
_DEVICE_FLAGS = {
    "cpu": (
        "--iree-hal-target-device=local",
        "--iree-hal-local-target-device-backends=llvm-cpu",
        "--iree-llvmcpu-target-cpu=host",
        # A byte size. The default of 32 kB refuses the fused reductions of layer norms.
        "--iree-llvmcpu-stack-allocation-limit=1048576",
    ),
    "cuda": ("--iree-hal-target-device=cuda",),
}
_PACK_WEIGHTS = "--iree-opt-data-tiling"
_MLIR_TYPES = {
    DType.BOOL: "i1",
    DType.UINT8: "i8",
    DType.UINT16: "i16",
    DType.UINT32: "i32",
    DType.UINT64: "i64",
    DType.INT8: "i8",
    DType.INT16: "i16",
    DType.INT32: "i32",
    DType.INT64: "i64",
    DType.FLOAT16: "f16",
    DType.BFLOAT16: "bf16",
    DType.FLOAT32: "f32",
    DType.FLOAT64: "f64",
    DType.COMPLEX64: "complex<f32>",
    DType.COMPLEX128: "complex<f64>",
    DType.FLOAT8_E4M3FN: "f8E4M3FN",
    DType.FLOAT8_E5M2: "f8E5M2",
    DType.FLOAT8_E4M3FNUZ: "f8E4M3FNUZ",
    DType.FLOAT8_E5M2FNUZ: "f8E5M2FNUZ",
    DType.FLOAT8_E8M0FNU: "f8E8M0FNU",
}
_MAIN = "  util.func public @main("
_BODY = "bridge_body"


def compile_module(module: Module, target: Target) -> bytes:
    """The module as an IREE VM module (`.vmfb`), its weights as parameters of scope `model`.

    `target.options`: `flags` (more compiler flags, separated by spaces), `cuda_target` (default `sm_80`) and
    `timeout` (seconds). Raises EngineError.
    """
    flags = ("--mlir-print-debuginfo", *_flags(target))
    timeout = float(target.options.get("timeout", TIMEOUT_S))
    converted = _iree_compile(
        module.code, (*_INPUT_FLAGS, *flags, "--compile-to=input"), module.name, timeout
    ).decode()
    flags = (*flags, "--compile-from=input")
    check_limits(converted, module.name)
    donated = frozenset(given for given, _ in module.donations())
    converted = protect_updates(protect_arguments(converted, module.name, donated))
    converted = keep_roundings(converted)
    if any(port.weight is not None for port in module.inputs):
        converted = bind_parameters(converted, module)
        flags = (*flags, _PACK_WEIGHTS)
    return _iree_compile(converted.encode(), flags, module.name, timeout)


def _flags(target: Target) -> tuple[str, ...]:
    if target.device not in _DEVICE_FLAGS:
        raise EngineError(f"iree cannot compile for the device {target.device!r}; it knows cpu and cuda")
    flags = _DEVICE_FLAGS[target.device]
    if target.device == "cuda":
        flags = (*flags, f"--iree-cuda-target={target.options.get('cuda_target', 'sm_80')}")
    return (*flags, *target.options.get("flags", "").split())


_WIDEN = re.compile(r"^( *)%(\S+) = arith\.extf (%\S+) : bf16 to f32(.*)$")


def keep_roundings(text: str) -> str:
    """The converted module with elementwise bfloat16 to float32 conversions spelled as shifts.

    IREE computes fused bfloat16 chains in float32 and drops each rounding to bfloat16 between two operations
    (its pass iree-convert-bf16-arith-to-f32); it does not see through the shift. Contractions keep the
    conversion, by which the compiler recognises them.
    """
    lines, elementwise = [], False
    for line in text.splitlines():
        if "linalg.generic" in line:
            elementwise = '"reduction"' not in line
        found = _WIDEN.match(line) if elementwise else None
        if found is None:
            lines.append(line)
            continue
        indent, name, operand, location = found.groups()
        lines += [
            f"{indent}%raw_{name} = arith.bitcast {operand} : bf16 to i16{location}",
            f"{indent}%wide_{name} = arith.extui %raw_{name} : i16 to i32{location}",
            f"{indent}%by_{name} = arith.constant 16 : i32{location}",
            f"{indent}%high_{name} = arith.shli %wide_{name}, %by_{name} : i32{location}",
            f"{indent}%{name} = arith.bitcast %high_{name} : i32 to f32{location}",
        ]
    return "\n".join(lines) + "\n"


def bind_parameters(text: str, module: Module) -> str:
    """The converted module with a new `@main` that has only the arguments that come with each call.

    Raises EngineError where IREE's text is not of the form this relies on.
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
    return f"{head}{opening}{start}{brace}{_wrapper(module)}{rest}"


def _wrapper(module: Module) -> str:
    """One parameter global per distinct weight, and the `@main` that loads them and calls the body."""
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
    return (
        "".join(globals_)
        + f"  util.func public @main({', '.join(arguments)}) -> ({results}) {{\n"
        + "".join(loads)
        + f"    {packed} = util.call @{_BODY}({', '.join(operands)}) : ({inputs}) -> ({outputs})\n"
        + f"    util.return {values} : {outputs}\n"
        + "  }\n"
    )


def _tensor(port: Port) -> str:
    return f"tensor<{''.join(f'{size}x' for size in port.sizes)}{_element(port)}>"


def _element(port: Port) -> str:
    try:
        return _MLIR_TYPES[port.dtype]
    except KeyError:
        raise EngineError(f"iree has no {port.dtype} element type ({port.name})") from None


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


def _iree_compile(source: bytes, flags: Sequence[str], name: str, timeout: float) -> bytes:
    """Run the compiler on MLIR text or bytecode; its output. Raises EngineError."""
    with tempfile.TemporaryDirectory(prefix="bridge-iree-") as folder:
        source_path, out_path = Path(folder, "source.mlir"), Path(folder, "out")
        source_path.write_bytes(source)
        command = [_tool(), *flags, "-o", str(out_path), str(source_path)]
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        _bound_memory(child.pid)
        try:
            _, stderr = child.communicate(timeout=timeout)
        except BaseException as error:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                raise EngineError(f"iree {name}: the compiler did not finish in {timeout:g} s") from None
            raise
        diagnostics = stderr.decode(errors="replace")
        if child.returncode == 0 and out_path.exists():
            return out_path.read_bytes()
    raise _failure(name, child.returncode, diagnostics)


def _bound_memory(pid: int) -> None:
    """Let a compiler that runs away fail before the machine does (Linux): some transposed products of halves
    took more than 17 GB."""
    if hasattr(resource, "prlimit"):
        most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
        with suppress(ProcessLookupError):  # it is done already
            resource.prlimit(pid, resource.RLIMIT_AS, (most, most))


def _tool() -> str:
    try:
        from iree.compiler.tools.binaries import find_tool
    except ImportError:
        raise EngineError(
            "iree's compiler is not installed: python -m pip install iree-base-compiler"
        ) from None
    return find_tool("iree-compile")


def _failure(name: str, status: int, diagnostics: str) -> EngineError:
    text, node = first_error(diagnostics)
    if status < 0:
        reason = f"the compiler crashed ({signal.Signals(-status).name})" + (f": {text}" if text else "")
    else:
        reason = text or f"the compiler failed with status {status}"
    return EngineError(f"iree {name}: {reason}", node)
