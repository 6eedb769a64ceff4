"""What a decoding step costs: a Llama of 8 layers with its cache in buffers, token after token.

    python -m benchmarks.decode

Per step, milliseconds for eager (torch's own exported module), xla, iree and aten, at two lengths of the
cache; and whether each cache lies where it lay after the first step. Then a step that only writes a row into
a cache and reads it back, in microseconds: attention reads the whole cache, and so costs more the longer that
is; this does not, unless the cache is copied.
"""

from __future__ import annotations

import statistics
import time
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

import torch

import bridge
from tests.models.decoding import cache_addresses, llama, step_inputs

ENGINES = ("eager", "xla", "iree", "aten")
LENGTHS = (256, 4096)
STEPS = 64
_TURNS = 5


class Row(torch.nn.Module):
    """Writes one row of a cache [1, 8, length, 64] and returns it twofold."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.register_buffer("cache", torch.zeros(1, 8, length, 64))

    def forward(self, row: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        self.cache.index_copy_(2, at, row)
        return self.cache.index_select(2, at) * 2


def callers(program: torch.export.ExportedProgram) -> dict[str, Callable[..., Any]]:
    """The program in eager and on each engine."""
    lowered = bridge.lower(program)
    return {n: program.module() if n == "eager" else lowered.compile(n) for n in ENGINES}


def measure(call: Callable[..., Any]) -> tuple[list[float], bool]:
    """Least seconds of each of 64 steps in several turns; whether the caches stayed where they were."""
    best = [float("inf")] * STEPS
    places: set[tuple[int, ...]] = set()
    for _ in range(_TURNS):
        for step in range(STEPS):
            inputs = step_inputs(step)
            start = time.perf_counter()
            call(**inputs)
            best[step] = min(best[step], time.perf_counter() - start)
            places.add(cache_addresses(call))
    return best, len(places) == 1


def rows(call: Callable[..., Any]) -> float:
    """Least seconds of writing one row."""
    row, at = torch.ones(1, 8, 1, 64), torch.tensor([5])
    best = float("inf")
    for _ in range(300):
        start = time.perf_counter()
        call(row, at)
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    """Measure and print two tables."""
    print("| cache | side | step 1 ms | step 2 | step 16 | step 32 | step 64 | median | stays in place |")
    print("|---|---|---|---|---|---|---|---|---|")
    with torch.no_grad():
        for length in LENGTHS:
            for name, call in callers(llama(length)).items():
                best, stays = measure(call)
                shown = " | ".join(f"{best[step - 1] * 1e3:.2f}" for step in (1, 2, 16, 32, 64))
                median = statistics.median(best) * 1e3
                print(
                    f"| {length} | {name} | {shown} | {median:.2f} | {'yes' if stays else 'no'} |", flush=True
                )
        print("\n| side | a row into 0.5 MB, us | a row into 8 MB, us |\n|---|---|---|")
        example = (torch.ones(1, 8, 1, 64), torch.tensor([0]))
        sides = [callers(torch.export.export(Row(length), example)) for length in LENGTHS]
        for name in ENGINES:
            print(f"| {name} | {' | '.join(f'{rows(side[name]) * 1e6:.1f}' for side in sides)} |", flush=True)


if __name__ == "__main__":
    ArgumentParser(description=__doc__).parse_args()
    main()
