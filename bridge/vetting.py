"""Modules from files that somebody else may have made, before a compiler of this process gets them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import lowering
from lowering.ir.bytecode import check_operations
from lowering.ir.errors import EngineError
from lowering.ir.module import Module

_COMMAND = ("-m", "lowering.stablehlo.vetting")
_TIMEOUT_S = 300.0


def vetted(module: Module) -> Module:
    """The module, its bytes checked and written anew by a child process. Raises EngineError.

    Where jax is missing, nothing reads the bytes in this process. An engine that needs no pass gets only
    bytes whose operations are known.
    """
    if not module.foreign:
        return module
    try:
        check_operations(module.code)
    except ValueError as error:
        raise _refused(module, str(error)) from None
    if find_spec("jax") is None:
        return module
    return replace(module, code=_rewritten(module), foreign=False)


def _rewritten(module: Module) -> bytes:
    ports = [[[p.dtype.value, p.sizes] for p in side] for side in (module.inputs, module.outputs)]
    folder = str(Path(lowering.__path__[0]).parent)
    path = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))
    try:
        child = subprocess.run(
            [sys.executable, *_COMMAND],
            input=json.dumps(ports).encode() + b"\n" + module.code,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": path},
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise _refused(module, f"reading it took more than {_TIMEOUT_S:g} s") from None
    if child.returncode == 0:
        return child.stdout
    if child.returncode == -signal.SIGXCPU:
        raise _refused(module, "reading it takes longer than any module of its size")
    if child.returncode < 0:
        raise _refused(module, f"reading it crashed ({signal.Signals(-child.returncode).name})")
    said = child.stderr.decode(errors="replace").strip().splitlines()
    raise _refused(module, said[-1] if said else "reading it failed")


def _refused(module: Module, why: str) -> EngineError:
    return EngineError(f"the module {module.name} of the artifact is not to be compiled: {why}")
