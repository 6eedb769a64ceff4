"""The interpreter ends while threads are calling: the process ends well, with its own exit status."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def run(program: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    return done.returncode, done.stdout, done.stderr


# Programs large and small, so that IREE runs with threads of its own and without; all stay alive in globals.
_ENGINES = """
import sys, threading
import torch, bridge

started = threading.Barrier(len(ENGINES) * 2 + 1)

def call(compiled, x):
    compiled(x)
    started.wait()
    while True:
        torch.relu(compiled(x))

kept = []
for engine in ENGINES:
    for rows, width in ((2, 8), (256, 128)):
        module = torch.nn.Sequential(torch.nn.Linear(width, width), torch.nn.GELU()).eval()
        x = torch.randn(rows, width)
        kept.append((bridge.lower(module, (x,)).compile(engine), x))
for args in kept:
    threading.Thread(target=call, args=args, daemon=True).start()
started.wait()
sys.exit(7)
"""


@pytest.mark.parametrize("engines", [("iree",), ("xla",), ("aten",), ("iree", "xla", "aten")], ids="+".join)
def test_daemon_threads_that_call(engines: tuple[str, ...]) -> None:
    assert run(f"ENGINES = {engines}{_ENGINES}") == (7, "", "")


_COMPILING = """
import threading
import torch, bridge

module = torch.nn.Sequential(*[torch.nn.Linear(8, 8) for _ in range(4)]).eval()
lowered = bridge.lower(module, (torch.randn(2, 8),))
begun = threading.Event()

def compile_over_and_over():
    while True:
        lowered.binaries.clear()
        begun.set()
        lowered.compile("xla")

threading.Thread(target=compile_over_and_over, daemon=True).start()
begun.wait()
"""


def test_a_daemon_thread_that_compiles() -> None:
    assert run(_COMPILING) == (0, "", "")


# Python alone: what a thread sees. `_PACKAGES` makes the frames of this program those of calls.
_THREADS = """
import atexit, threading, time
from lowering.host import shutdown
from lowering.host.shutdown import closed_at_exit

shutdown._PACKAGES = {"__main__"}

@closed_at_exit("__call__", "inner", "value")
class Program:
    def __init__(self):
        self.entered, self.leave = threading.Event(), threading.Event()
    def __call__(self):
        self.entered.set()
        self.leave.wait()
        return self.inner()
    def inner(self):
        return "inner"
    @property
    def value(self):
        return 5

program = Program()
"""


def test_a_call_that_has_begun_ends_with_all_that_it_calls() -> None:
    text = """
def call():
    print(program(), flush=True)
    try:
        program()
    finally:
        print("ended", flush=True)

threading.Thread(target=call, daemon=True).start()
program.entered.wait()
close = shutdown.close
atexit.unregister(close)
def later():
    threading.Timer(0.2, program.leave.set).start()
    close()
    print(program.inner(), program.value, "at exit")
atexit.register(later)
"""
    assert run(_THREADS + text) == (0, "inner\nended\ninner 5 at exit\n", "")


@pytest.mark.parametrize("entry", ["program()", "program.inner()", "program.value"])
def test_a_thread_that_does_not_let_itself_be_ended_waits(entry: str) -> None:
    text = f"""
program.leave.set()
begun = threading.Event()
def call():
    while True:
        begun.set()
        try:
            {entry}
        except BaseException as error:
            print(type(error).__name__, flush=True)

threading.Thread(target=call, daemon=True).start()
begun.wait()
"""
    assert run(_THREADS + text) == (0, "SystemExit\n", "")


def test_a_process_without_threads_ends_at_once() -> None:
    text = """
shutdown.time.sleep = lambda seconds: print("slept")
"""
    assert run(_THREADS + text) == (0, "", "")


def test_what_takes_too_long_is_not_waited_for() -> None:
    text = """
shutdown._WAIT_S = 0.1
threading.Thread(target=program, daemon=True).start()
program.entered.wait()
"""
    assert run(_THREADS + text) == (0, "", "")
