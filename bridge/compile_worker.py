"""A process that compiles behind a server's calls; `bridge.background_compiler` starts it.

It reads requests from standard input and writes a reply for each, until the input ends or none comes for a
while. Calls come first: its priority is low, and so is that of the compilers that it starts. Requests and
replies are pickled: they pass between a process of Bridge and the one that it started.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import struct
import sys
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

from bridge.binaries import Binaries, Site
from lowering.ir.dynamic_module import DynamicModule
from lowering.ir.errors import EngineError, NoCompiler
from lowering.ir.module import Module
from lowering.ir.symbols import Scalar
from lowering.targets import get_engine
from lowering.targets.target import TargetOptions

# As `nice` adds by default: beside a busy thread, a compiler gets a tenth of a core.
NICENESS = 10
# A process that nothing is asked of frees its memory, in seconds.
IDLE_S = 30.0
READY = "ready"
_LENGTH = struct.Struct("<Q")


class Request(NamedTuple):
    """A segment to compile: its module at these sizes, or that for all sizes.

    `donations`: of the module that is made static, as `lowering.ir.updates` gives them.
    """

    module: Module | DynamicModule
    sizes: Mapping[str, Scalar]
    donations: tuple[tuple[str, str], ...]
    engine: str
    target: TargetOptions


class Reply(NamedTuple):
    """The module that was compiled, and its binaries; None where this process cannot compile it.

    `refused`: the engine's message, and the node that it names.
    """

    module: Module | None
    binary: bytes = b""
    preflight: bytes = b""
    refused: tuple[str, str | None] | None = None


def answer(request: Request) -> Reply:
    """Compile what is asked for."""
    try:
        module = _static(request)
        if module is None:
            return Reply(None)
        site = Site(get_engine(request.engine), request.target)
        built = Binaries({}).built(module, site, own=False)
    except (NoCompiler, ModuleNotFoundError):
        return Reply(None)
    except EngineError as error:
        return Reply(None, refused=(str(error), error.node))
    return Reply(built.module, built.binary, built.preflight)


def _static(request: Request) -> Module | None:
    if isinstance(request.module, Module):
        return request.module
    from lowering.stablehlo.errors import LoweringError
    from lowering.stablehlo.pipeline import emitted
    from lowering.stablehlo.refine import refined

    try:
        module = refined(request.module, request.sizes)
    except LoweringError:
        return None
    return emitted(request.donations).run(module)


def send(value: object, stream: BinaryIO) -> None:
    """Write a value, its length first. Raises OSError where the reader is gone."""
    content = pickle.dumps(value)
    stream.write(_LENGTH.pack(len(content)) + content)
    stream.flush()


def receive(stream: BinaryIO) -> Any:
    """The next value that `send` wrote. Raises EOFError where there is none, or not all of one."""
    head = stream.read(_LENGTH.size)
    content = stream.read(_LENGTH.unpack(head)[0]) if len(head) == _LENGTH.size else b""
    if len(head) < _LENGTH.size or len(content) < _LENGTH.unpack(head)[0]:
        raise EOFError
    return pickle.loads(content)


def serve(requests: BinaryIO, replies: BinaryIO, idle: float = IDLE_S) -> None:
    """Answer requests until they end, or none comes for `idle` seconds."""
    send(READY, replies)
    # A request comes after the reply to the one before: none of it is read ahead.
    while select.select([requests], [], [], idle)[0]:
        try:
            request = receive(requests)
        except EOFError:
            return
        send(answer(request), replies)


def main() -> None:
    """Serve the process that has started this one."""
    os.nice(NICENESS)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    # Engines print where they like: to the reader of replies that would be noise.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin.buffer, replies)
