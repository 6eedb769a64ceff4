"""IREE's compiler, run as a child process: its crashes and hangs become errors, not ours.

A module is compiled in two steps: IREE's own input conversion turns the portable bytecode into text, and the
text, with changes, is compiled. The canonical module takes its weights as arguments, but IREE packs
weights once, at load, only if they are parameters: the text gets a new `@main` which loads them from
parameter globals and calls the old one. Roundings to bfloat16 are protected,
and products of a row of it spelled for processors that have none.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from math import prod

from lowering.host.drafts import scratch_folder
from lowering.host.machine import memory
from lowering.host.processor import processor
from lowering.ir.bytecode import check_operations
from lowering.ir.errors import EngineError
from lowering.ir.module import Module
from lowering.ir.types import DType
from lowering.targets.diagnostics import first_error, first_line
from lowering.targets.iree.arguments import protect_values
from lowering.targets.iree.casts import spell_out_casts
from lowering.targets.iree.entries import bind_parameters, check_entry
from lowering.targets.iree.inserts import protect_updates
from lowering.targets.iree.limits import check_limits
from lowering.targets.iree.processor import flags_of
from lowering.targets.iree.rows import rows_in_strips
from lowering.targets.target import Target

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
        # A byte size. The default of 32 kB refuses the fused reductions of layer norms.
        "--iree-llvmcpu-stack-allocation-limit=1048576",
    ),
    "cuda": ("--iree-hal-target-device=cuda",),
}
_PACK_WEIGHTS = "--iree-opt-data-tiling"
# Four vectors side by side: a long chain of operations on one waits for each of them (docs/decisions/0023).
_SIDE_BY_SIDE = "--iree-llvmcpu-target-vector-width-in-bytes=256"

_LARGER_AT_LOAD = "--iree-opt-const-expr-max-size-increase-threshold"
_USUALLY_LARGER = 1 << 20

# In bytes, of arguments, results and weights.
_SMALL = 1 << 16


def compile_module(module: Module, target: Target) -> bytes:
    """The module as an IREE VM module (`.vmfb`), its weights as parameters of scope `model`.

    `target.options`: `flags` (more compiler flags, separated by spaces), `cuda_target` (default `sm_80`) and
    `timeout` (seconds). Raises EngineError.
    """
    try:
        check_operations(module.code)
    except ValueError as error:
        raise EngineError(f"iree {module.name}: the module is not to be compiled: {error}") from None
    flags = ("--mlir-print-debuginfo", *flags_for(target))
    timeout = float(target.options.get("timeout", TIMEOUT_S))
    converted = _iree_compile(
        module.code, (*_INPUT_FLAGS, *flags, "--compile-to=input"), module.name, timeout
    ).decode()
    flags = (*flags, "--compile-from=input")
    check_entry(converted, module)
    check_limits(converted, module.name)
    donated = frozenset(given for given, _ in module.donations())
    converted = protect_updates(protect_values(converted, module.name, donated))
    converted = keep_roundings(spell_out_casts(converted))
    if target.device == "cpu" and not processor().has_bfloat16:
        converted = rows_in_strips(converted)
        flags = (*flags, *_widen_at_load(module))
    if target.device == "cpu" and is_elementwise(converted):
        flags = (*flags, _SIDE_BY_SIDE)
    if all(port.weight is None for port in module.inputs):
        return _without_races(converted.encode(), flags, module.name, timeout)
    flags = (*flags, _PACK_WEIGHTS)
    if target.device == "cpu" and not is_small(module) and "scf." not in converted:
        with_memory = bind_parameters(converted, module, takes_memory=True)
        # IREE's part of this is young: what it cannot do is compiled without.
        with suppress(_Refused):
            return _without_races(with_memory.encode(), flags, module.name, timeout)
    return _without_races(bind_parameters(converted, module).encode(), flags, module.name, timeout)


def _widen_at_load(module: Module) -> tuple[str, ...]:
    """IREE makes at load what rests on weights, but nothing that is larger by a megabyte, its default: of
    bfloat16 that is widened, the largest may be."""
    halves = [port for port in module.inputs if port.weight is not None and port.dtype is DType.BFLOAT16]
    most = max((prod(port.sizes) * port.dtype.itemsize for port in halves), default=0)
    return (f"{_LARGER_AT_LOAD}={most}",) if most > _USUALLY_LARGER else ()


def is_small(module: Module) -> bool:
    """Whether a module has so little data that threads, or memory that is kept, cost more than they gain."""
    ports = (*module.inputs, *module.outputs)
    return sum(prod(port.sizes) * port.dtype.itemsize for port in ports) < _SMALL


class _Refused(EngineError):
    """The compiler ended with an error."""


def flags_for(target: Target) -> tuple[str, ...]:
    if target.device not in _DEVICE_FLAGS:
        raise EngineError(f"iree cannot compile for the device {target.device!r}; it knows cpu and cuda")
    flags = _DEVICE_FLAGS[target.device]
    if target.device == "cpu":
        flags = (*flags, *flags_of(processor()))
    if target.device == "cuda":
        flags = (*flags, f"--iree-cuda-target={target.options.get('cuda_target', 'sm_80')}")
    return (*flags, *target.options.get("flags", "").split())


_MIXES = re.compile(
    r'"reduction"|\blinalg\.(?!generic|yield|index|fill|map|broadcast|transpose)|\biree_linalg_ext\.|\bscf\.'
)


def is_elementwise(text: str) -> bool:
    """Whether a converted module has neither sums, products of matrices, windows nor loops."""
    return _MIXES.search(text) is None


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


def _without_races(source: bytes, flags: Sequence[str], name: str, timeout: float) -> bytes:
    """Compile; what IREE would run side by side though it must not is compiled to run one after another."""
    from iree.compiler.ir import MLIRError  # pyright: ignore[reportAttributeAccessIssue]

    from lowering.targets.iree.races import check, split

    with scratch_folder("bridge-iree") as folder:
        binary = _iree_compile(source, (*flags, *_DUMP, f"--mlir-print-ir-tree-dir={folder}"), name, timeout)
        shown = [path.read_text() for path in folder.rglob(f"*_{_RANGES_UNTIL}.mlir")]
    constants = [text for text in shown if _OF_CONSTANTS.search(text)]
    if len(shown) - len(constants) != 1:
        raise EngineError(f"iree {name}: cannot check for races: the compiler shows {len(shown)} modules")
    (text,) = (text for text in shown if text not in constants)
    try:
        # What the compiler itself has run is wrong for good where it raced: then nothing is run.
        if any(wave.races for module in constants for wave in check(module)):
            return _without_races(source, (*flags, _RUN_NOTHING), name, timeout)
        found = check(text)
        if not any(wave.races for wave in found):
            return binary
        to_stream = _iree_compile(source, (*flags, "--compile-to=stream"), name, timeout)
        repaired = split(to_stream.decode(), found)
    except (MLIRError, ValueError) as error:
        raise EngineError(f"iree {name}: cannot rule out races: {first_line(error)}") from None
    rest = [flag for flag in flags if not flag.startswith("--compile-from=")]
    return _iree_compile(repaired.encode(), (*rest, "--compile-from=stream"), name, timeout)


# The pass before which a dispatch still names the byte range of each of its operands.
_RANGES_UNTIL = "iree-stream-fuse-dispatch-bindings"
# How a module is marked that the compiler makes of constants alone, and runs itself. And: to do without.
_OF_CONSTANTS = re.compile(r"^module\b[^\n]* attributes \{[^\n]*\biree\.consteval\b", re.MULTILINE)
_RUN_NOTHING = "--iree-opt-const-eval=false"
# Prints the module that is checked for races, without its large constants.
_DUMP = (
    f"--mlir-print-ir-before={_RANGES_UNTIL}",
    "--mlir-elide-elementsattrs-if-larger=16",
    "--mlir-elide-resource-strings-if-larger=16",
)


def _iree_compile(source: bytes, flags: Sequence[str], name: str, timeout: float) -> bytes:
    """Run the compiler on MLIR text or bytecode; its output. Raises EngineError."""
    with scratch_folder("bridge-iree") as folder:
        source_path, out_path = folder / "source.mlir", folder / "out"
        source_path.write_bytes(source)
        command = [_tool(), *flags, "-o", str(out_path), str(source_path)]
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            _bound_memory(child.pid)
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
    took more than 17 GB. A bound that this process has itself (`ulimit -v`) stays where it is lower."""
    if hasattr(resource, "prlimit"):
        own = [bound for bound in resource.getrlimit(resource.RLIMIT_AS) if bound != resource.RLIM_INFINITY]
        most = min([memory() // 2, *own])
        # It is done already, or a sandbox forbids it.
        with suppress(ProcessLookupError, PermissionError):
            resource.prlimit(pid, resource.RLIMIT_AS, (most, most))


def _tool() -> str:
    try:
        from iree.compiler.tools.binaries import find_tool
    except ImportError:
        raise EngineError(
            "iree's compiler is not installed: python -m pip install iree-base-compiler"
        ) from None
    return find_tool("iree-compile")


def _failure(name: str, status: int, diagnostics: str) -> _Refused:
    text, node = first_error(diagnostics)
    if status < 0:
        reason = f"the compiler crashed ({signal.Signals(-status).name})" + (f": {text}" if text else "")
    else:
        reason = text or f"the compiler failed with status {status}"
    return _Refused(f"iree {name}: {reason}", node)
