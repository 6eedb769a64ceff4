"""`flex_attention` in an exported graph becomes operators that give what eager gives."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.attention.flex_attention import flex_attention

from lowering.frontend.exported import Exported
from lowering.frontend.flex_attention import EXPAND_FLEX_ATTENTION
from lowering.frontend.pipeline import EXPORT
from lowering.passes.pipeline import Observation, observed

TARGET = torch.ops.higher_order.flex_attention


class Biased(torch.nn.Module):
    """Attention with a bias for each column."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = torch.nn.Parameter(torch.arange(16.0) / 8)

    def forward(self, q: Any, k: Any, v: Any) -> Any:
        return flex_attention(q, k, v, lambda score, batch, head, row, column: score + self.bias[column])


def given(module: torch.nn.Module, *args: torch.Tensor) -> Exported:
    program = torch.export.export(module, args)
    return Exported(program, program.graph_module)


def test_it_becomes_what_eager_runs_on_the_cpu() -> None:
    module, args = Biased(), tuple(torch.randn(1, 2, 16, 8) for _ in range(3))
    before = given(module, *args)
    with observed(Observation(verify=True)):
        made = EXPORT.run(before)
    assert any(node.target is TARGET for node in before.module.graph.nodes)
    assert not any(node.target is TARGET for node in made.module.graph.nodes)
    (result,) = made.module(module.bias, *args)
    torch.testing.assert_close(result, module(*args))


def test_a_graph_without_it_stays() -> None:
    before = given(torch.nn.Linear(2, 3), torch.ones(1, 2))
    assert EXPAND_FLEX_ATTENTION.run(before) is before
