"""One model in one process: build every side, compare it with eager, time it against eager in turns.

    python -m benchmarks.measure '{"model": "mlp", ...}' lines.jsonl

For `benchmarks.models`, which starts it. Sides take turns, so that what the machine does besides hits all of
them; each turn of a side stands beside one of eager, and what counts is the ratio of the two.
"""

from __future__ import annotations

import gc
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.utils._pytree as pytree

from benchmarks.cases import CASES, DTYPES
from benchmarks.processes import one_line, tell
from benchmarks.sides import SIDES, Run, Subject, quiet
from bridge.tuning.race import rest
from bridge.verification.compare import compare
from bridge.verification.tolerances import Rounding, rounding_of
from lowering.host.machine import cores
from tests.models.model import Call

# A turn of quick calls lasts this long, after one that is not timed; of slow ones it is one call.
_TURN = 0.02
_MOST_PAIRS, _LEAST_PAIRS = 100, 8
# What Bridge promises is that this one is nowhere slower than eager: its quartiles are to be good.
_LEAST_PAIRS_OF = {"auto": 30}


@dataclass
class Timed:
    """A side that was built. Seconds per call: `pairs` of eager's turn and its own beside it."""

    run: Run
    build_seconds: float
    error: float
    differs: str
    spent: float = 0.0
    pairs: list[tuple[float, float]] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        ratios = [own / eager for eager, own in self.pairs]
        low, median, high = statistics.quantiles(ratios, n=4)
        return {
            "ms": 1e3 * min(own for _, own in self.pairs),
            "ratio": [low, median, high],
            "ratio_of_minima": min(own for _, own in self.pairs) / min(eager for eager, _ in self.pairs),
            "pairs": len(self.pairs),
            "build_seconds": self.build_seconds,
            "error": self.error,
            "differs": self.differs,
        }


class Expected:
    """What eager gives for all calls in a row, and the buffers to start from."""

    def __init__(self, subject: Subject) -> None:
        self._module = subject.model.module
        self._calls = subject.model.calls
        self._rounding = rounding_of(subject.lowered.program)
        self._buffers = {name: buffer.clone() for name, buffer in self._module.named_buffers()}
        self._results = [_leaves(self._module, call) for call in self._calls]
        self.restore()

    def restore(self) -> None:
        """Give the buffers the values back that they had: sides take theirs from the module."""
        for name, buffer in self._module.named_buffers():
            buffer.copy_(self._buffers[name])

    def compare(self, run: Run) -> tuple[float, str]:
        """The largest error, as a part of the largest element; what is not eager's, empty if all is."""
        error, differs = 0.0, ""
        for index, (call, wanted) in enumerate(zip(self._calls, self._results, strict=True)):
            got = _leaves(run, call)
            if len(got) != len(wanted):
                return math.inf, f"{len(got)} outputs, eager gives {len(wanted)}"
            found, problem = _compare(f"call {index + 1}", got, wanted, self._rounding)
            error, differs = max(error, found), differs or problem
        return error, differs


def _leaves(run: Run, call: Call) -> list[torch.Tensor]:
    args, kwargs = call
    return [leaf.clone() for leaf in pytree.tree_leaves(run(*args, **kwargs))]


def _compare(
    name: str, got: list[torch.Tensor], wanted: list[torch.Tensor], rounding: Rounding
) -> tuple[float, str]:
    differences = [
        (compare(f"{name} output {i}", x, y, rounding), float(y.abs().max()))
        for i, (x, y) in enumerate(zip(got, wanted, strict=True))
    ]
    problems = [f"{found.name} {found.problem}" for found, _ in differences if not found.passed]
    return max(found.error / (largest or 1.0) for found, largest in differences), "; ".join(problems[:1])


def build(subject: Subject, side: str, expected: Expected) -> Timed:
    """Build a side, which includes its first calls, and compare it. Raises whatever the side raises."""
    expected.restore()
    started = time.perf_counter()
    run = SIDES[side].build(subject)
    args, kwargs = subject.model.calls[0]
    run(*args, **kwargs)
    seconds = time.perf_counter() - started
    return Timed(run, seconds, *expected.compare(run))


def measure(subject: Subject, sides: dict[str, Timed], seconds: float, clock: Callable[[], float]) -> None:
    """Time the sides in turns; each until it has had `seconds` and its least number of pairs."""
    args, kwargs = subject.model.calls[0]
    eager = subject.model.module

    def turn(run: Run, count: int) -> float:
        rest()
        if count > 1:
            run(*args, **kwargs)
        started = clock()
        for _ in range(count):
            run(*args, **kwargs)
        return (clock() - started) / count

    counts = {run: max(1, round(_TURN / min(turn(run, 1) for _ in range(3)))) for run in _runs(eager, sides)}
    gc.collect()
    gc.disable()
    for round_ in range(_MOST_PAIRS):
        for name, side in sides.items():
            if round_ >= _LEAST_PAIRS_OF.get(name, _LEAST_PAIRS) and side.spent >= seconds:
                continue
            started = time.perf_counter()
            # Who comes first changes, so that neither always follows the other's threads.
            order = (eager, side.run) if round_ % 2 else (side.run, eager)
            took = {run: turn(run, counts[run]) for run in order}
            side.pairs.append((took[eager], took[side.run]))
            side.spent += time.perf_counter() - started
    gc.enable()


def _runs(eager: Run, sides: dict[str, Timed]) -> list[Run]:
    return [eager, *(side.run for side in sides.values())]


def main() -> None:
    """Measure what the request says: model, dtype, batch, sides, seconds, pinned."""
    request, lines = json.loads(sys.argv[1]), sys.argv[2]
    quiet()
    torch.set_num_threads(cores())
    torch.set_grad_enabled(False)
    dtype = DTYPES[request["dtype"]]
    # Alone on one core, time that other processes take is not ours.
    clock = time.process_time if request["pinned"] else time.perf_counter
    with TemporaryDirectory() as folder:
        subject = Subject(
            CASES[request["model"]].build(request["small"], request["batch"], dtype), Path(folder), dtype
        )
        expected = Expected(subject)
        sides: dict[str, Timed] = {}
        rows: dict[str, dict[str, Any]] = {}
        for name in request["sides"]:
            tell(lines, building=name)
            try:
                sides[name] = build(subject, name, expected)
            except Exception as error:  # a side that cannot is a result
                rows[name] = {"reason": one_line(error)}
        tell(lines, timing=list(sides))
        measure(subject, sides, request["seconds"], clock)
        rows |= {name: side.row() for name, side in sides.items()}
        if "auto" in sides and (tuning := subject.lowered.tuning) is not None:
            rows["auto"]["took"] = tuning.chosen
    eager = min((pair[0] for side in sides.values() for pair in side.pairs), default=math.nan)
    tell(lines, eager_ms=1e3 * eager, sides=rows)


if __name__ == "__main__":
    main()
