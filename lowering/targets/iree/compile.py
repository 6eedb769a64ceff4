"""IREE's compiler, run as a child process: its crashes and hangs become errors, not ours.

A module is compiled in two steps: IREE's own input conversion turns the portable bytecode into IREE's
dialects, and the converted module is compiled after the passes of `converted_pipeline`.
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
from lowering.host.shutdown import ended_at_exit
from lowering.ir.bytecode import DYNAMIC_OPERATIONS, check_operations
from lowering.ir.dynamic_module import DynamicModule
from lowering.ir.errors import EngineError, NoCompiler
from lowering.ir.module import Module
from lowering.ir.types import DType
from lowering.targets.diagnostics import first_error, first_line
from lowering.targets.iree.limits import check_limits
from lowering.targets.iree.pipeline import converted_pipeline
from lowering.targets.iree.processor import flags_of
from lowering.targets.target import TargetOptions, this_machine

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
_TO_INPUT = ("--compile-to=input", "--emit-mlir-bytecode")
_PACK_WEIGHTS = "--iree-opt-data-tiling"
# Four vectors side by side: a long chain of operations on one waits for each of them (docs/decisions/0023).
_SIDE_BY_SIDE = "--iree-llvmcpu-target-vector-width-in-bytes=256"

_LARGER_AT_LOAD = "--iree-opt-const-expr-max-size-increase-threshold"
_USUALLY_LARGER = 1 << 20


def compile_module(module: Module, target: TargetOptions) -> bytes:
    """The module as an IREE VM module (`.vmfb`), its weights as parameters of scope `model`.

    `target.options`: `flags` (more compiler flags, separated by spaces), `cuda_target` (default `sm_80`) and
    `timeout` (seconds). Raises EngineError.
    """
    sources, flags, timeout = _sources(module, target)
    # IREE's part for memory is young: a module that it refuses is compiled without.
    for source in sources[:-1]:
        with suppress(_Refused):
            return _without_races(source, flags, module.name, timeout)
    return _without_races(sources[-1], flags, module.name, timeout)


def compile_dynamic(module: DynamicModule, target: TargetOptions) -> bytes:
    """A module for all sizes as one IREE VM module, its weights and `target.options` as of `compile_module`.

    It goes through `dynamic_pipeline` first. Raises EngineError, with the operation for which IREE has no
    such code.
    """
    from lowering.targets.iree.dynamic_source import dynamic_source

    _check(module.code, module.name, DYNAMIC_OPERATIONS)
    text, source = dynamic_source(module, target.device)
    flags, timeout = _flags(target)
    code = _iree_compile(text, (*_INPUT_FLAGS, *flags, *_TO_INPUT), module.name, timeout)
    sources, more = _rewritten(code, source, target)
    flags = (*flags, "--compile-from=input")
    # Its packing of matrices whose sizes a call says is young, too.
    for each in sources:
        with suppress(_Refused):
            return _without_races(each, (*flags, *more), module.name, timeout)
    more = [flag for flag in more if flag != _PACK_WEIGHTS]
    return _without_races(sources[-1], (*flags, *more), module.name, timeout)


def show_dispatches(module: Module, target: TargetOptions, with_memory: bool) -> tuple[str, str, str]:
    """Texts of a module: before and after the compiler keeps one of equal dispatches; with commands in order.

    `with_memory`: whether the module that is loaded has the entry for memory. Raises EngineError.
    """
    sources, flags, timeout = _sources(module, target)
    source = sources[0 if with_memory else -1]
    with scratch_folder("bridge-iree") as folder:
        shown = (*flags, *_SHOWN, f"--mlir-print-ir-tree-dir={folder}", "--compile-to=stream")
        ordered = _iree_compile(source, shown, module.name, timeout)
        texts = [path.read_text() for path in sorted(folder.rglob(f"*_{_EQUAL}.mlir"))]
    texts = [text for text in texts if not _OF_CONSTANTS.search(text)]
    if len(texts) != 2:
        raise EngineError(f"iree {module.name}: the compiler shows {len(texts)} modules, not two")
    before, after = texts
    return before, after, ordered.decode()


def _sources(module: Module, target: TargetOptions) -> tuple[list[bytes], tuple[str, ...], float]:
    """The converted module after the passes, with and without memory for a call; flags; seconds to wait."""
    _check(module.code, module.name)
    flags, timeout = _flags(target)
    code = _iree_compile(module.code, (*_INPUT_FLAGS, *flags, *_TO_INPUT), module.name, timeout)
    sources, more = _rewritten(code, module, target)
    return sources, (*flags, "--compile-from=input", *more), timeout


def _check(code: bytes, name: str, more: frozenset[str] = frozenset()) -> None:
    """Raise EngineError for bytecode that Bridge does not emit. `more`: operations that it may have."""
    try:
        check_operations(code, more)
    except ValueError as error:
        raise EngineError(f"iree {name}: the module is not to be compiled: {error}") from None


def _flags(target: TargetOptions) -> tuple[tuple[str, ...], float]:
    """The flags of each step, and the seconds to wait for it."""
    # Debug information lets a diagnostic name a node.
    return ("--mlir-print-debuginfo", *flags_for(target)), float(target.options.get("timeout", TIMEOUT_S))


def _rewritten(code: bytes, module: Module, target: TargetOptions) -> tuple[list[bytes], list[str]]:
    """The converted module after the passes, with and without memory for a call; and flags for it."""
    from lowering.targets.iree.converted import converted
    from lowering.targets.iree.entries import check_entry, drop_memory

    machine = this_machine()
    flags = []
    with converted(code, module) as subject:
        check_entry(subject)
        check_limits(subject)
        converted_pipeline(target.device, machine).run(subject)
        if target.device == "cpu" and not machine.has_bfloat16:
            flags += _widen_at_load(module)
        if target.device == "cpu" and subject.is_elementwise():
            flags.append(_SIDE_BY_SIDE)
        if any(port.weight is not None for port in module.inputs):
            flags.append(_PACK_WEIGHTS)
        sources = [subject.serialised()]
        if drop_memory(subject):
            sources.append(subject.serialised())
    return sources, flags


def _widen_at_load(module: Module) -> tuple[str, ...]:
    """IREE makes at load what rests on weights, but nothing that is larger by a megabyte, its default: of
    bfloat16 that is widened, the largest may be."""
    halves = [port for port in module.inputs if port.weight is not None and port.dtype is DType.BFLOAT16]
    most = max((prod(port.sizes) * port.dtype.itemsize for port in halves), default=0)
    return (f"{_LARGER_AT_LOAD}={most}",) if most > _USUALLY_LARGER else ()


class _Refused(EngineError):
    """The compiler ended with an error."""


def flags_for(target: TargetOptions) -> tuple[str, ...]:
    if target.device not in _DEVICE_FLAGS:
        raise EngineError(f"iree cannot compile for the device {target.device!r}; it knows cpu and cuda")
    flags = _DEVICE_FLAGS[target.device]
    if target.device == "cpu":
        flags = (*flags, *flags_of(processor()))
    if target.device == "cuda":
        flags = (*flags, f"--iree-cuda-target={target.options.get('cuda_target', 'sm_80')}")
    return (*flags, *target.options.get("flags", "").split())


def _without_races(source: bytes, flags: Sequence[str], name: str, timeout: float) -> bytes:
    """Compile; operations that IREE would run side by side though they race are compiled to run one after
    another."""
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
        # The compiler keeps the results of constants that it ran. Where these raced, it runs none.
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
# Prints no large constants.
_BRIEF = ("--mlir-elide-elementsattrs-if-larger=16", "--mlir-elide-resource-strings-if-larger=16")
# Prints the module that is checked for races.
_DUMP = (f"--mlir-print-ir-before={_RANGES_UNTIL}", *_BRIEF)
# The pass that keeps one of several equal dispatches; and: print the module around it.
_EQUAL = "iree-flow-deduplicate-executables"
_SHOWN = (f"--mlir-print-ir-before={_EQUAL}", f"--mlir-print-ir-after={_EQUAL}", *_BRIEF)


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
            with ended_at_exit(child.kill):
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
        raise NoCompiler(
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
