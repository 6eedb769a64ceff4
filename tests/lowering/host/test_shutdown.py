"""The interpreter ends while threads are calling: the process ends well, with its own exit status."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lowering.host import shutdown

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


@pytest.mark.parametrize(
    "engines",
    [
        ("iree", "xla", "aten"),
        *(pytest.param((engine,), marks=pytest.mark.conformance) for engine in ("iree", "xla", "aten")),
    ],
    ids="+".join,
)
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
shutdown._PAUSES = 20
threading.Thread(target=program, daemon=True).start()
program.entered.wait()
"""
    assert run(_THREADS + text) == (0, "", "")


def test_a_thread_that_only_waits_for_work_holds_nobody_up() -> None:
    text = """
import threading, time
from lowering.host import shutdown
from lowering.host.background import Work, Workers

done = threading.Event()
workers = Workers(idle=1000.0)
workers.add(Work(done.set))
done.wait()
while shutdown._BUSY in shutdown._states():
    time.sleep(0.001)
print("idle")
"""
    assert run(text) == (0, "idle\n", "")


_NEW_SIZES = """
import torch, bridge

batch = torch.export.Dim("batch", min=1, max=64)
module = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.GELU()).eval()
exported = torch.export.export(module, (torch.randn(3, 8),), dynamic_shapes=({0: batch},))
kept = []
for _ in range(2):
    compiled = bridge.lower(exported).compile(ENGINE)
    kept += [compiled(torch.randn(rows, 8)) for rows in range(4, 12)]
print(len(kept))
"""


@pytest.mark.parametrize("engine", ["iree", pytest.param("xla", marks=pytest.mark.conformance)])
def test_sizes_that_are_being_compiled(engine: str) -> None:
    """Neither an abort, nor an engine's complaint about what is left."""
    assert run(f"ENGINE = {engine!r}{_NEW_SIZES}") == (0, "16\n", "")


@pytest.mark.parametrize("closing", [False, True])
def test_a_process_that_a_thread_waits_for_ends(closing: bool) -> None:
    text = """
import atexit, subprocess, sys, threading, time
from lowering.host import shutdown
from lowering.host.shutdown import ended_at_exit

begun, go = threading.Event(), threading.Event()

def wait():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print(child.pid, flush=True)
    begun.set()
    if CLOSING:
        go.wait()
    with ended_at_exit(child.kill):
        begun.set()
        child.wait()

thread = threading.Thread(target=wait, daemon=True)
thread.start()
begun.wait()
if CLOSING:
    # After `close` in the order of exit: what begins while Python ends.
    atexit.unregister(shutdown.close)
    atexit.register(lambda: (go.set(), thread.join()))
    atexit.register(shutdown.close)
"""
    status, printed, errors = run(f"CLOSING = {closing}\n{text}")
    assert (status, errors) == (0, "")
    assert _ends(int(printed))


def _ends(pid: int) -> bool:
    """Whether a process is gone soon."""
    for _ in range(1000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def test_pauses_are_counted_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under load a pause takes as much longer as the calls do that are waited for."""
    looks: list[list[str]] = []
    states = iter([["busy"]] * 300 + [["elsewhere"]] * 3 + [["busy"]] + [["elsewhere"]] * 100)

    def look() -> list[str]:
        looks.append(next(states))
        return looks[-1]

    passed = iter(range(10_000))
    monkeypatch.setattr(shutdown, "_states", look)
    # Each pause takes an hour.
    monkeypatch.setattr(shutdown.time, "sleep", lambda _: None)
    monkeypatch.setattr(shutdown.time, "monotonic", lambda: 3600.0 * next(passed))
    shutdown._wait_until_quiet()
    assert looks.count(["busy"]) == 301
    assert looks[304:] == [["elsewhere"]] * (shutdown._GRACE + 1)
