"""One model at its sizes in one process: build every side, compare it with eager, time the sides in turns.

    python -m benchmarks.dynamic_measure '{"model": "mlp", ...}' lines.jsonl

For `benchmarks.dynamic`, which starts it. A row compares the least times of two sides.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.dynamic_cases import DYNAMIC_CASES, Sizes
from benchmarks.dynamic_sides import DYNAMIC_SIDES, AtSizes, Run, VaryingSubject
from benchmarks.processes import one_line, tell
from benchmarks.sides import quiet
from bridge.tuning.race import rest
from bridge.verification.compare import compare
from bridge.verification.tolerances import rounding_of
from lowering.host.machine import cores

# A turn of quick calls lasts this long, of slow ones it is one call.
_TURN = 0.02
_LEAST_TURNS, _MOST_TURNS = 5, 200

Clock = Callable[[], float]


def processor_time() -> float:
    """Seconds of this process, and of its children that have ended, as compilers do."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def build(subject: VaryingSubject, names: list[str]) -> tuple[dict[str, AtSizes], dict[str, Any]]:
    """The sides, each for all sizes, and of those that cannot the reasons."""
    sides: dict[str, AtSizes] = {}
    reasons: dict[str, Any] = {}
    for name in names:
        try:
            sides[name] = DYNAMIC_SIDES[name][1](subject)
        except Exception as error:  # a side that cannot is a result
            reasons[name] = {"reason": one_line(error)}
    return sides, reasons


def at_sizes(
    subject: VaryingSubject, sides: dict[str, AtSizes], sizes: Sizes, seconds: float, clock: Clock
) -> dict[str, Any]:
    """Seconds of each side at these sizes: of its first call, and the least of many."""
    given = subject.model.inputs(sizes)
    want = subject.model.module(*given)
    kind = rounding_of(subject.lowered.program)
    rows: dict[str, Any] = {}
    runs: dict[str, Run] = {}
    for name, make in sides.items():
        started = clock()
        try:
            run = make(sizes)
            got = run(*given).clone()
        except Exception as error:  # a side that cannot is a result
            rows[name] = {"reason": one_line(error)}
            continue
        first = clock() - started
        found = compare("the result", got, want, kind)
        rows[name] = {"first_ms": 1e3 * first, "differs": "" if found.passed else found.problem}
        runs[name] = run
    for name, least in timed(runs, given, seconds, clock).items():
        rows[name]["ms"] = 1e3 * least
    return rows


def timed(
    runs: dict[str, Run], given: tuple[torch.Tensor, ...], seconds: float, clock: Clock
) -> dict[str, float]:
    """The least seconds of a call of each; they take turns, for `seconds` each."""

    def turn(run: Run, count: int) -> float:
        rest()
        started = clock()
        for _ in range(count):
            run(*given)
        return (clock() - started) / count

    least = {name: turn(run, 1) for name, run in runs.items()}
    counts = {name: max(1, round(_TURN / took)) if took else 1 for name, took in least.items()}
    ends = time.monotonic() + seconds * len(runs)
    gc.collect()
    gc.disable()
    for number in range(_MOST_TURNS):
        if number >= _LEAST_TURNS and time.monotonic() > ends:
            break
        for name, run in runs.items():
            least[name] = min(least[name], turn(run, counts[name]))
    gc.enable()
    return least


def main() -> None:
    """Measure what the request says: model, small, sizes, sides, seconds, pinned."""
    request, lines = json.loads(sys.argv[1]), sys.argv[2]
    quiet()
    torch.set_num_threads(cores())
    torch.set_grad_enabled(False)
    # Alone on one core, time that other processes take is not ours.
    clock = processor_time if request["pinned"] else time.perf_counter
    with TemporaryDirectory() as folder:
        subject = VaryingSubject(DYNAMIC_CASES[request["model"]].build(request["small"]), Path(folder))
        sides, reasons = build(subject, request["sides"])
        for sizes in request["sizes"]:
            rows = at_sizes(subject, sides, tuple(sizes), request["seconds"], clock)
            tell(lines, sizes=sizes, sides=rows | reasons)


if __name__ == "__main__":
    main()
