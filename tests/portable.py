"""The tests that depend on the processor, held to lesser ones: `python -m tests.portable`.

Each level of x86-64 gets a process bound to one core, beside busy ones. Libraries read the variables below
when they are loaded, and `BRIDGE_CPU` holds XLA and IREE.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from lowering.host.processor import processor
from lowering.ir.errors import EngineError

ROOT = Path(__file__).parents[1]

# What holds torch, oneDNN and MKL to a level.
LEVELS = {
    "x86-64-v2": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    },
    "x86-64-v3": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    },
}

# Whose halves a processor may sum or round in its own way.
OPERATORS = "conv mm matmul linear attention norm softmax sum mean cumsum dtype".split()

# Engines, packing, passes and numerics: arguments of pytest, a run each.
RUNS: tuple[tuple[str, ...], ...] = (
    (
        "tests/lowering/targets/test_iree_xla.py",
        "tests/lowering/targets/aten/test_prepacking.py",
        "tests/lowering/targets/aten/test_activations.py",
        "tests/lowering/targets/test_hoisted_weights.py",
        "tests/lowering/targets/test_pipelines.py",
        "tests/lowering/stablehlo/passes/test_attention_in_blocks.py",
        "tests/lowering/stablehlo/passes/test_convolution.py",
        "tests/lowering/stablehlo/passes/test_convolutions_channels_last.py",
        "tests/lowering/stablehlo/passes/test_exact_libm_functions.py",
        "tests/lowering/stablehlo/passes/test_matmul_weights_in_out.py",
        "tests/lowering/stablehlo/passes/test_pad_batched_matmuls.py",
        "tests/lowering/stablehlo/passes/test_weight_hoisting.py",
        "tests/ops/test_accuracy.py",
        "tests/ops/test_half_scalars.py",
        "tests/ops/test_layouts.py",
        "tests/bridge/test_threads.py",
    ),
    # Held to less, oneDNN has no product of float8 for eager, which would look no further.
    (
        "tests/ops/test_ops.py",
        "-k",
        f"xla and (bfloat16 or float16) and ({' or '.join(OPERATORS)}) and not _scaled_mm",
    ),
)

# They have less of the core than what is tested, so that together they take about a fifth of it.
_NICE = 15
_BUSY = """
import os, sys
parent, core, nice = map(int, sys.argv[1:])
os.sched_setaffinity(0, {core})
os.nice(nice)
while os.getppid() == parent:
    sum(range(1_000_000))
"""


def environment(level: str) -> dict[str, str]:
    """This process' environment, for one that is held to a level."""
    return {**os.environ, **LEVELS[level], "BRIDGE_CPU": level}


def reachable() -> list[str]:
    """The levels that this machine has."""
    before = os.environ.get("BRIDGE_CPU")
    found = []
    for level in LEVELS:
        os.environ["BRIDGE_CPU"] = level
        try:
            processor()
        except EngineError as error:
            print(f"portable: {error}", file=sys.stderr)
        else:
            found.append(level)
    os.environ.pop("BRIDGE_CPU")
    if before is not None:
        os.environ["BRIDGE_CPU"] = before
    return found


@contextmanager
def busy(core: int, count: int) -> Iterator[None]:
    """So many processes that only compute, on one core."""
    command = [sys.executable, "-c", _BUSY, str(os.getpid()), str(core), str(_NICE)]
    children = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for child in children:
            child.kill()
        for child in children:
            child.wait()


def start(level: str, core: int, tests: Sequence[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    """The tests of a level, bound to a core."""
    command = [sys.executable, "-m", "tests.portable", "--held", str(core), *tests]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment(level), stdout=output, stderr=subprocess.STDOUT
    )


def run_level(level: str, core: int, runs: Sequence[Sequence[str]], load: int) -> int:
    """Run all tests of a level, and print what they printed; how many runs failed."""
    failed = 0
    with busy(core, load):
        for tests in runs:
            with tempfile.TemporaryFile() as output:
                status = start(level, core, tests, output).wait()
                output.seek(0)
                text = output.read().decode(errors="replace")
            print(f"==== {level}, core {core}: {' '.join(tests)}\n{text}", flush=True)
            failed += status != 0
    return failed


def held(core: int, tests: Sequence[str]) -> int:
    """Bind this process to a core and run tests in it."""
    import pytest

    os.sched_setaffinity(0, {core})
    return int(pytest.main(["-m", "not conformance", *tests]))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.portable", description=__doc__)
    parser.add_argument("--level", choices=list(LEVELS), help="only this one; default: all that there are")
    parser.add_argument("--load", type=int, default=8, help="how many busy processes there are on the core")
    parser.add_argument("--held", type=int, metavar="CORE", help=argparse.SUPPRESS)
    parser.add_argument("tests", nargs=argparse.REMAINDER, help="arguments of pytest; default: a choice")
    given = parser.parse_args(argv)
    if given.held is not None:
        return held(given.held, given.tests)
    levels = [level for level in reachable() if given.level in (None, level)]
    if not levels:
        print("portable: this machine has no such level", file=sys.stderr)
        return 0 if given.level is None else 1
    runs = [tuple(given.tests)] if given.tests else RUNS
    cores = sorted(os.sched_getaffinity(0))
    from concurrent.futures import ThreadPoolExecutor

    # A core each, as far as there are so many.
    with ThreadPoolExecutor(min(len(cores), len(levels))) as pool:
        jobs = [
            pool.submit(run_level, level, cores[at % len(cores)], runs, given.load)
            for at, level in enumerate(levels)
        ]
        return 1 if sum(job.result() for job in jobs) else 0


if __name__ == "__main__":
    sys.exit(main())
