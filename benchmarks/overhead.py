"""What a call costs beside the computation: `compiled(x)` against the engine's own call, arguments bound.

    python -m benchmarks.overhead

One-segment programs with one input and 2 or 300 weights. Least microseconds per call of many short turns,
interleaved: `engine` is the engine's bare call on prebuilt arguments, results waited for; `bridge` is the
whole of `compiled(x)`: checks, import, call, export, structure. torch tensors in and out, then numpy's. What
index checks cost is what the embedding takes with them beyond what it takes without.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

import bridge
from bridge.binaries import Site, after_passes
from lowering.host.weights import materialise
from lowering.targets import ENGINES, get_engine
from lowering.targets.target import TargetOptions

_ROUNDS, _CALLS = 300, 30


def layers(count: int) -> torch.nn.Module:
    """`count` linear layers of 8 numbers, two weights each."""
    torch.manual_seed(0)
    return torch.nn.Sequential(*(torch.nn.Linear(8, 8) for _ in range(count))).eval()


class Case(NamedTuple):
    """A program as it is lowered and called."""

    name: str
    program: torch.nn.Module
    weights: int
    x: torch.Tensor = torch.ones(1, 8)
    bounds_checks: bool = True


def embedding() -> torch.nn.Module:
    """Rows of 8 numbers by token ids, whose bounds nothing proves."""
    torch.manual_seed(0)
    return torch.nn.Embedding(100, 8)


_IDS = torch.arange(16).reshape(1, 16)

CASES = (
    Case("one linear layer", layers(1), 2),
    Case("150 linear layers", layers(150), 300),
    Case("an embedding", embedding(), 1, _IDS),
    Case("an embedding, no bounds checks", embedding(), 1, _IDS, bounds_checks=False),
)


def microseconds(*calls: Callable[[], Any]) -> list[float]:
    """The best time of each, the calls taking turns: short turns find a quiet moment on a busy machine."""
    best = [float("inf")] * len(calls)
    for _ in range(_ROUNDS):
        for index, call in enumerate(calls):
            start = time.perf_counter()
            for _ in range(_CALLS):
                call()
            best[index] = min(best[index], time.perf_counter() - start)
    return [seconds / _CALLS * 1e6 for seconds in best]


def bare(lowered: bridge.Lowered, engine: Any, x: torch.Tensor) -> Callable[[], Any]:
    """The engine's own call of the program's one segment on arguments bound beforehand."""
    (segment,) = lowered.plan.segments
    target = TargetOptions()
    canonical = lowered.specialise(lowered.plan, segment, {})
    module = after_passes(canonical, Site(engine, target))
    weights = materialise(lowered.weights, [p.weight for p in canonical.inputs if p.weight is not None])
    executable = engine.load(engine.compile(module, target), module, target, weights)
    return executable.bare([engine.from_tensor(x, target)])


def main() -> None:
    """Measure and print one table."""
    print(
        "| engine | program | weights | engine us | bridge us | ours us | ours us, numpy |"
        "\n|---|---|---|---|---|---|---|"
    )
    for case in CASES:
        x, n = case.x, case.x.numpy()
        lowered = bridge.lower(case.program, (x,), bounds_checks=case.bounds_checks)
        for name in ENGINES:
            compiled = lowered.compile(name)
            own, ours, ours_numpy = microseconds(
                bare(lowered, get_engine(name), x),
                lambda compiled=compiled, x=x: compiled(x),
                lambda compiled=compiled, n=n: compiled(n),
            )
            costs = f"{own:.1f} | {ours:.1f} | {ours - own:.1f} | {ours_numpy - own:.1f}"
            print(f"| {name} | {case.name} | {case.weights} | {costs} |", flush=True)


if __name__ == "__main__":
    ArgumentParser(description=__doc__).parse_args()
    main()
