"""The process that compiles behind calls, as the server sees it: started, asked, ended, crashed."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

import bridge
from bridge.background_compiler import BackgroundCompiler
from bridge.compile_worker import NICENESS, Reply, Request
from lowering.ir.errors import EngineError
from lowering.ir.module import Module
from lowering.targets.target import CPU
from tests.bridge.samples import path_of

REQUEST = Request(Module(b"", (), ()), {}, (), "fake", CPU)
# Answers as the real one does, without compiling anything.
FAKE = """
import os, sys
from bridge import compile_worker
from bridge.compile_worker import Reply
def answer(request):
    if request.engine == "crash":
        os.kill(os.getpid(), 11)
    if request.engine == "exit":
        os._exit(0)
    return Reply(None, str(os.getpid()).encode())
compile_worker.answer = answer
compile_worker.main()
"""


def fake() -> BackgroundCompiler:
    return BackgroundCompiler(("-c", FAKE))


def pid_of(compiler: BackgroundCompiler) -> int:
    reply = compiler.compile(REQUEST)
    assert reply is not None
    return int(reply.binary)


def ended(compiler: BackgroundCompiler) -> None:
    """End its process, as the end of ours would."""
    assert compiler._child is not None
    assert compiler._end() == 0


def test_one_process_answers_all_at_low_priority() -> None:
    compiler = fake()
    pid = pid_of(compiler)
    assert pid == pid_of(compiler) != os.getpid()
    assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)
    ended(compiler)


def test_a_crash_is_an_error_and_another_process_answers_then() -> None:
    compiler = fake()
    pid = pid_of(compiler)
    with pytest.raises(EngineError, match=r"crash: the compiler crashed \(SIGSEGV\)"):
        compiler.compile(REQUEST._replace(engine="crash"))
    assert pid_of(compiler) != pid
    ended(compiler)


def test_one_that_ended_for_want_of_work_is_started_again() -> None:
    compiler = fake()
    pid = pid_of(compiler)
    with pytest.raises(EngineError, match="status 0"):
        compiler.compile(REQUEST._replace(engine="exit"))
    assert pid_of(compiler) != pid
    ended(compiler)


def test_one_that_ends_unasked_leaves_no_zombie() -> None:
    compiler = fake()
    pid = pid_of(compiler)
    os.kill(pid, signal.SIGKILL)
    for _ in range(600):
        # As it looks from outside: to ask for its status would remove it.
        if not psutil.pid_exists(pid):
            break
        time.sleep(0.1)
    else:
        pytest.fail("a zombie is left")
    assert pid_of(compiler) != pid
    ended(compiler)


@pytest.mark.parametrize("program", ["raise SystemExit(3)", "print('another program')"])
def test_none_where_it_cannot_be_started(program: str) -> None:
    compiler = BackgroundCompiler(("-c", program))
    assert compiler.compile(REQUEST) is None
    assert compiler.compile(REQUEST) is None


def test_none_where_there_is_no_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "")
    assert fake().compile(REQUEST) is None


def test_a_forked_process_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = fake()
    pid, child = pid_of(compiler), compiler._child
    monkeypatch.setattr(compiler, "_owner", os.getpid() + 1)
    assert pid_of(compiler) != pid
    ended(compiler)
    compiler._child = child
    ended(compiler)


@pytest.mark.parametrize("engine", ["xla", "iree"])
def test_a_segment_is_compiled_aside_and_loaded_here(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    from bridge import binaries

    lowered = bridge.lower(path_of("mlp_dynamic"))
    compiled = lowered.compile(engine, on_new_size="dynamic")
    assert isinstance(compiled, bridge.Compiled)
    (step,) = compiled.executor.loaded.steps
    origin = compiled.executor.shared.origin
    assert origin is not None
    sizes = dict.fromkeys(lowered.example_sizes, 5)
    origin.compile_aside(step.segment, sizes)

    def compile_here(*_: object) -> bytes:
        raise AssertionError("compiled in this process")

    monkeypatch.setattr(binaries, "_compile", compile_here)
    compiled.prepare(sizes)
    x = np.ones((5, 8), np.float32)
    np.testing.assert_allclose(compiled(x), lowered.compile("aten")(x), rtol=1e-5, atol=1e-6)
    assert compiled.report.tiers["static"] == 1


def test_what_it_refuses_is_not_tried_here(monkeypatch: pytest.MonkeyPatch) -> None:
    from bridge import segment_compiler

    lowered = bridge.lower(path_of("mlp_dynamic"))
    compiled = lowered.compile("xla", on_new_size="dynamic")
    assert isinstance(compiled, bridge.Compiled)

    class Refusing:
        def compile(self, request: Request) -> Reply:
            raise EngineError("xla: the compiler crashed (SIGSEGV)")

    monkeypatch.setattr(segment_compiler, "background_compiler", Refusing())
    origin = compiled.executor.shared.origin
    assert origin is not None
    sizes = dict.fromkeys(lowered.example_sizes, 5)
    origin.compile_aside(compiled.executor.loaded.steps[0].segment, sizes)
    compiled.prepare(sizes)
    assert [fallback.reason for fallback in compiled.report.fallbacks] == [
        "xla: the compiler crashed (SIGSEGV)"
    ]
