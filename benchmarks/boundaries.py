"""What passing from an engine to ATen and back costs, beyond what both sides take by themselves.

    python -m benchmarks.boundaries

A chain of pairs of segments: six elementwise operators of 8 numbers on an engine, then one on ATen. `pair` is
what one more pair adds to a call of the chain; `alone` is the same done by hand in a loop, on executables of
its own: import, the loaded segment, export, the operator. Half of the difference is what we add to a
boundary. Least microseconds of many short turns, interleaved.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

import torch

import bridge
from benchmarks.overhead import microseconds
from bridge.compilation import compile_configured
from bridge.compiled.compiled import Compiled
from bridge.configuration import Configuration
from lowering.host.weights import materialise
from lowering.ir.plan import Placement
from lowering.targets import get_engine
from lowering.targets.target import TargetOptions

_SHORT, _LONG = 2, 10


class Chain(torch.nn.Module):
    """`pairs` times: what stays on the engine, then what is moved to ATen."""

    def __init__(self, pairs: int) -> None:
        super().__init__()
        self.pairs = pairs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(self.pairs):
            x = torch.relu(((x * 2).tanh() + 1).sin().cos() * 3 - x)
        return x


def chain(pairs: int, engine: str, x: torch.Tensor) -> tuple[bridge.Lowered, Compiled]:
    """A chain with its operators on ATen where they belong."""
    lowered = bridge.lower(Chain(pairs), (x,))
    nodes = lowered.functional.graph.nodes
    moved = {node.name: "one side of a boundary" for node in nodes if node.target == "aten.relu.default"}
    compiled = compile_configured(lowered, Configuration(engine, moved=moved))
    assert len(compiled.report.plan.segments) == 2 * pairs
    return lowered, compiled


def by_hand(lowered: bridge.Lowered, compiled: Compiled, engine: Any, x: torch.Tensor) -> Callable[[], Any]:
    """The same calls without the executor."""
    target = TargetOptions()
    plan = compiled.report.plan
    runs = []
    for segment in plan.segments:
        if segment.placement is Placement.STABLEHLO:
            module = lowered.specialise(plan, segment, {})
            weights = materialise(lowered.weights, [p.weight for p in module.inputs if p.weight is not None])
            runs.append(engine.load(engine.compile(module, target), module, target, weights))

    def call() -> torch.Tensor:
        y = x
        for run in runs:
            (result,) = run([engine.from_known(y, target)])
            y = torch.ops.aten.relu.default(engine.to_torch(result))
        return y

    return call


def main() -> None:
    """Measure and print one table."""
    print("| engine | pair us | alone us | ours us, a boundary |\n|---|---|---|---|")
    x = torch.ones(1, 8)
    for name in ("iree", "xla"):
        engine = get_engine(name)
        _, short = chain(_SHORT, name, x)
        lowered, long = chain(_LONG, name, x)
        alone = by_hand(lowered, long, engine, x)
        torch.testing.assert_close(alone(), long(x))
        few, many, hand = microseconds(lambda c=short: c(x), lambda c=long: c(x), alone)
        pair, hand = (many - few) / (_LONG - _SHORT), hand / _LONG
        print(f"| {name} | {pair:.1f} | {hand:.1f} | {(pair - hand) / 2:.1f} |", flush=True)


if __name__ == "__main__":
    ArgumentParser(description=__doc__).parse_args()
    with torch.no_grad():
        main()
