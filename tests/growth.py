"""How much memory calls, and compiling and discarding, leave behind: `python -m tests.growth`.

Each measurement is a process of its own. Resident memory is read after Python's garbage is collected and the
C library has given back what it keeps free: what is left then is held by somebody. What the first rounds take
(arenas, caches up to their bounds, code that is loaded once) is warm-up, and not counted.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch

import bridge

ENGINES, CALLERS, SHAPES = ("iree", "xla", "aten"), ("torch", "numpy"), ("static", "dynamic", "state")
#: Bytes that a process may grow by, over all rounds after the warm-up.
MOST = 5 << 20
# More sizes than a segment keeps would only measure the compiler.
SIZES = (2, 3, 5, 8)


class Layers(torch.nn.Module):
    """Two products with weights, beside an operator that runs on ATen: three segments."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = torch.nn.Linear(128, 160), torch.nn.Linear(160, 128)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = torch.tanh(self.two(torch.relu(self.one(x)) + 1) * 2 + x)
        # LAPACK's eigenvalues stay on ATen, whatever the rules come to be.
        return (torch.linalg.eigvals((y.t() @ y)[:3, :3]).abs().sin() + 1) * 2, y


class Sums(torch.nn.Module):
    """A sum in a buffer, written in place."""

    total: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(128, 128)
        self.register_buffer("total", torch.zeros(3, 128))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.total.mul_(0.5).add_(self.layer(x))
        return self.total * 2


class Growth(NamedTuple):
    """`bytes`: how much resident memory grew over `rounds` rounds; `course`: at ten points of them."""

    rounds: int
    bytes: int
    course: tuple[int, ...]


def resident() -> int:
    """Bytes of this process that lie in memory, garbage and free memory of the C library given back."""
    gc.collect()
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def grown(work: Callable[[], Any], rounds: int, warm: int) -> Growth:
    """How much memory `work` leaves behind, called `rounds` times after `warm` times."""
    for _ in range(warm):
        work()
    gc.collect()
    # Objects from before stay: to look through a test process' millions takes a second, each time.
    gc.freeze()
    try:
        start = resident()
        course = []
        for tenth in range(10):
            for _ in range(rounds * (tenth + 1) // 10 - rounds * tenth // 10):
                work()
            course.append(resident() - start)
    finally:
        gc.unfreeze()
    return Growth(rounds, course[-1], tuple(course))


def module(shape: str) -> torch.nn.Module:
    return (Sums() if shape == "state" else Layers()).eval()


def lowered(shape: str) -> bridge.Lowered:
    batch = {0: torch.export.Dim("batch", min=2, max=64)} if shape == "dynamic" else None
    return bridge.lower(module(shape), (torch.randn(3, 128),), dynamic_shapes={"x": batch} if batch else None)


def _arguments(shape: str, caller: str) -> Iterator[Any]:
    sizes = SIZES if shape == "dynamic" else (3,)
    while True:
        for size in sizes:
            # New memory each time, as a caller's is.
            given = torch.randn(size, 128)
            yield given if caller == "torch" else given.numpy().copy()


def of_calls(engine: str, caller: str, shape: str, rounds: int) -> Growth:
    compiled = lowered(shape).compile(engine, on_new_size="wait")
    given = _arguments(shape, caller)
    return grown(lambda: compiled(next(given)), rounds, max(100, rounds // 50))


def of_cycles(engine: str, caller: str, shape: str, rounds: int, binaries: bool = False) -> Growth:
    """An artifact is loaded, compiled, called at the example's size, and all of it dropped."""
    given = _arguments("static", caller)
    with TemporaryDirectory() as folder:
        program = lowered(shape)
        if binaries:
            program.compile(engine, on_new_size="wait")
        path = program.save(Path(folder) / "program.bridge")
        del program
        return grown(
            lambda: bridge.load(path).compile(engine, on_new_size="wait")(next(given)),
            rounds,
            max(10, rounds // 10),
        )


def of_loads(engine: str, caller: str, shape: str, rounds: int) -> Growth:
    """The same with an artifact that has the engine's code: nothing is compiled."""
    return of_cycles(engine, caller, shape, rounds, binaries=True)


MEASURES = {"calls": of_calls, "loads": of_loads, "cycles": of_cycles}


def measure(what: str, engine: str, caller: str, shape: str, rounds: int) -> dict[str, Any]:
    """One measurement in a process of its own, as plain data."""
    call = f"MEASURES[{what!r}]({engine!r}, {caller!r}, {shape!r}, {rounds})"
    code = f"import json; from tests.growth import MEASURES; print(json.dumps({call}))"
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "BRIDGE_CACHE_BYTES": "0"},
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    row = Growth(*json.loads(done.stdout.splitlines()[-1]))
    named = {"what": what, "engine": engine, "caller": caller, "shape": shape}
    return {**named, **row._asdict(), "seconds": round(time.monotonic() - start, 1)}


def main() -> int:
    """Measure what the options name; exit status 1 if anything grew by more than is allowed."""
    parser = argparse.ArgumentParser(prog="python -m tests.growth", description=main.__doc__)
    parser.add_argument("--what", default=",".join(MEASURES))
    parser.add_argument("--engine", default=",".join(ENGINES))
    parser.add_argument("--caller", default=",".join(CALLERS))
    parser.add_argument("--shape", default=",".join(SHAPES))
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--loads", type=int, default=500)
    parser.add_argument("--cycles", type=int, default=500)
    given = parser.parse_args()
    split = [getattr(given, name).split(",") for name in ("what", "engine", "caller", "shape")]
    worst = 0
    for what, engine, caller, shape in product(*split):
        row = measure(what, engine, caller, shape, getattr(given, what))
        worst = max(worst, row["bytes"])
        print(json.dumps(row), flush=True)
    return int(worst > MOST)


if __name__ == "__main__":
    sys.exit(main())
