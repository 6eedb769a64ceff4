"""Nested graphs: conditions, loops, maps and scans, exported, lowered and compared with eager."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch._higher_order_ops import map as map_rows
from torch._higher_order_ops import scan, while_loop

from lowering.frontend.exported_program import export, from_exported_program
from lowering.ir.program import Program
from lowering.passes.pipelines import canonical
from lowering.stablehlo.emit import emit_module
from lowering.targets import get_engine
from lowering.targets.target import TargetOptions


class Call(torch.nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: torch.Tensor) -> Any:
        return self.function(*args)


def choose(x: torch.Tensor) -> torch.Tensor:
    return torch.cond(x.sum() > 0, lambda x: x * 2 + 1, lambda x: x - 3, (x,))


def choose_inside(x: torch.Tensor) -> torch.Tensor:
    def yes(x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 10, lambda x: x * x, lambda x: x + x, (x,))

    return torch.cond(x.sum() > 0, yes, lambda x: x - 3, (x,))


def loop(i: torch.Tensor, x: torch.Tensor) -> Any:
    return while_loop(lambda i, x: i < 5, lambda i, x: (i + 1, x * 2), (i, x))


def rows(xs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return map_rows(lambda x, y: x * x + y, xs, y)


def running(carry: torch.Tensor, xs: torch.Tensor) -> Any:
    return scan(lambda c, x: (c + x, c * x), carry, xs, dim=0)


CALLS = {
    "cond, yes": (choose, torch.tensor([1.0, 2.0])),
    "cond, no": (choose, torch.tensor([-1.0, -2.0])),
    "cond in cond": (choose_inside, torch.tensor([9.0, 2.0])),
    "while": (loop, torch.tensor(0), torch.tensor([1.0, 3.0])),
    "while, never": (loop, torch.tensor(7), torch.tensor([1.0, 3.0])),
    "map": (rows, torch.arange(8.0).reshape(4, 2), torch.tensor([1.0, -1.0])),
    "scan": (running, torch.tensor([1.0, 0.5]), torch.arange(6.0).reshape(3, 2)),
}


def program_of(function: Callable[..., Any], *args: torch.Tensor, dynamic_shapes: Any = None) -> Program:
    exported = export(Call(function), args, dynamic_shapes=dynamic_shapes)
    return canonical().run(from_exported_program(exported)[0])


def run(
    program: Program, args: tuple[torch.Tensor, ...], sizes: dict[str, int], name: str
) -> list[torch.Tensor]:
    graph, engine, target = program.graph, get_engine(name), TargetOptions()
    inputs = [ref.name for ref in graph.inputs]
    outputs = [ref.name for ref in graph.outputs]
    module = emit_module(program, graph.nodes, inputs, outputs, sizes, "sample")
    executable = engine.load(engine.compile(module, target), module, target, {})
    return [engine.to_torch(h) for h in executable([engine.from_tensor(a, target) for a in args])]


@pytest.mark.parametrize("engine", ["xla", "iree"])
@pytest.mark.parametrize("name", CALLS)
def test_equals_eager(name: str, engine: str) -> None:
    function, *args = CALLS[name]
    expected = function(*args)
    expected = [expected] if isinstance(expected, torch.Tensor) else torch.utils._pytree.tree_leaves(expected)
    actual = run(program_of(function, *args), tuple(args), {}, engine)
    assert len(actual) == len(expected)
    for got, want in zip(actual, expected, strict=True):
        torch.testing.assert_close(got, want)


def test_a_predicate_over_sizes_emits_one_branch() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.shape[0] > 4, lambda x: x * 2, lambda x: x - 1, (x,))

    batch = torch.export.Dim("batch", min=2, max=10)
    program = program_of(function, torch.ones(5), dynamic_shapes=(({0: batch},),))
    (symbol,) = program.ranges
    for count, factor in ((3, 0.0), (6, 2.0)):
        (result,) = run(program, (torch.ones(count),), {symbol: count}, "xla")
        torch.testing.assert_close(result, torch.full((count,), factor))
